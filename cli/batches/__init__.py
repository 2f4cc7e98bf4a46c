"""Commands about batches: enqueue, watch, look, control, report."""
