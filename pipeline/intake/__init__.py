"""The way in: prompt files become checked, priced rows, and rows become generations."""
