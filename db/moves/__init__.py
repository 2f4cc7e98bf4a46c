"""Every statement that changes a state, and nothing else that does. One module per part of the way."""
