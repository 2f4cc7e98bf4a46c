"""Calibrate thresholds on examples, and rescore finished generations by new thresholds or another model."""
