"""Image services: what may be asked of them, and how each says it on the wire."""
