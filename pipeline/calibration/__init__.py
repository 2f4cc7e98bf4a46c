"""Thresholds fitted to examples, and final generations judged again by newer ones."""
