"""Money in the tables: the ledger, spending limits and the audit of both."""
