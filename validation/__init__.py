"""Check pictures against a character: decode pictures, embed them, compute scores."""
