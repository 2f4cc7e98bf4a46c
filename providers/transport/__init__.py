"""HTTP for every provider: sending, deadlines, downloads, signatures and JSON values."""
