"""A stand-in for the image services, in a process of its own."""
