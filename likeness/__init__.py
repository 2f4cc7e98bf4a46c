"""The face for scripts."""
