"""Commands for operating an installation: workers, lanes, limits, doubts, audit, doctor."""
