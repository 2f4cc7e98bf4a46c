"""Where picture files live."""
