"""Procedural drawings: make a picture from a prompt and references."""
