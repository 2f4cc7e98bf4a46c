"""The HTTP interfaces that the sandbox imitates, one folder per provider."""
