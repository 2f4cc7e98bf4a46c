"""Is the character the character: pictures to arrays, arrays to embeddings, embeddings to scores."""
