"""Procedural drawings: from a prompt and references to a picture."""
