"""The page: what a person sees of a team's batches, rendered on the server, kept fresh by events."""
