"""What is asked of a provider: requests drafted from rows, models on offer, and what a further try changes."""
