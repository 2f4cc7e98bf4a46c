"""Comparisons of ways to ask: reference weights, models, modes, wordings, on the same prompts."""
