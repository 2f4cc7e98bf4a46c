"""Replicate's official models: their calls, inputs and failures."""
