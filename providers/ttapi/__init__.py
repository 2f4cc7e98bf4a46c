"""TTAPI's Midjourney: its calls, replies, failures and modes."""
