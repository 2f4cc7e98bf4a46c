"""Commands about characters: references, thresholds, checks, calibration, feedback."""
