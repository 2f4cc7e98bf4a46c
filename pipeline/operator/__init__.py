"""What a person steers while work goes on: batches, lanes, limits and feedback."""
