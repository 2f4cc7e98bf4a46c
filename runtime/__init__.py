"""Settings in, resources out; embedded servers."""
