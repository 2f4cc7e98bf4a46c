"""Programs for those who work on Likeness: documentation that is generated from code."""
