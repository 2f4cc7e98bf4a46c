"""Rows of an order on their way into the table of generations."""
