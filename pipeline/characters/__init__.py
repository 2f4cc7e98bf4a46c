"""Characters: reference pictures, thresholds, and checking picture files against them without the queue."""
