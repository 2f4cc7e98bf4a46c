"""Fault injection: kinds of faults, armed faults, and profiles that combine them."""
