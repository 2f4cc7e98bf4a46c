"""Faults on request: which exist, which are armed, and profiles of several."""
