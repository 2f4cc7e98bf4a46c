"""Midjourney's prompt language: its flags, how people spell them, and the text that is sent."""
