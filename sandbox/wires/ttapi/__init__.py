"""TTAPI's Midjourney interface."""
