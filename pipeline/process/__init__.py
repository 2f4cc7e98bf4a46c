"""What one process keeps for its steps: leases, gates, back-off, caches and fault points."""
