"""Rows that are written and read but have no state to move."""
