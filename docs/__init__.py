"""What is written about Likeness, and the module that writes the parts of it that code already says."""
