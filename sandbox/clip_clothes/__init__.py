"""A second small CLIP, which reads what is worn in the sandbox's drawings and where."""
