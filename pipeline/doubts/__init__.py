"""Submissions that may have been paid, and how each doubt is settled: by a listing, a webhook or a person."""
