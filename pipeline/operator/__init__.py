"""Operations of a user on running work: control batches, lanes, limits; give feedback."""
