"""Replicate's interface."""
