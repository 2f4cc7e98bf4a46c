"""Process kinds: io, gpu, beat."""
