"""Tables without a state machine: batches, characters, lanes, embeddings, history and others."""
