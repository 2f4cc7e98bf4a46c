"""The demo: the whole system on one machine with the sandbox as its provider."""
