"""HTTP for every provider: sending, deadlines, downloads, signatures, and models of replies."""
