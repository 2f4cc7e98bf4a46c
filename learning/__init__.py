"""What is learned from results and opinions: routing, off-policy estimates, preferences, personas; pure, on NumPy."""
