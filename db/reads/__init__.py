"""Queries that only read; none locks a row or writes one."""
