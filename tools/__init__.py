"""Developer tools: generate documentation from code."""
