"""A small CLIP model trained on the sandbox's drawings, with its training code; used only where it is configured."""
