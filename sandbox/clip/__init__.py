"""A small CLIP of the sandbox's own drawings, and how it was made; used only where it is named."""
