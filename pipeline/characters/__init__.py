"""Characters: their references, their thresholds, and pictures checked against them without a queue."""
