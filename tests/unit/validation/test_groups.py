"""Which scores depend on each other, and how they are drawn again."""

import numpy as np

from validation.groups import grouped, linked


def test_what_is_alike_or_has_one_label_is_one_group_and_so_is_what_these_are_alike_to() -> None:
    angles = np.array([0.0, 0.1, 0.2, 1.5, 3.0, 3.01])
    cores = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    assert linked(cores, [0, 1, 2, 3, 4, 5], least=0.99) == [0, 0, 0, 3, 4, 4], "the first is alike to the third by way"
    assert linked(cores, [0, 1, 2, 3, 3, 5], least=0.99) == [0, 0, 0, 3, 3, 3]
    assert linked(cores, [0, 1, 2, 3, 4, 5], least=1.1) == [0, 1, 2, 3, 4, 5]


def test_a_long_chain_is_one_group() -> None:
    angles = np.random.default_rng(3).permutation(300) / 100
    cores = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    assert set(linked(cores, list(range(300)), least=0.9999)) == {0}


def test_a_group_is_drawn_as_a_whole() -> None:
    scores = np.array([0.3, 0.1, 0.2, 0.1])
    values = np.array([0.0, 0.1, 0.2, 0.3])
    some = grouped(scores, [7, 9, 7, 7], values)
    assert (some.scores, some.groups) == (4, 2)
    assert some.whole.tolist() == [[0, 2, 1, 1]]
    drawn = some.drawn(np.random.default_rng(1), 50)
    assert {tuple(row) for row in drawn.taken} == {(0, 2, 0, 0), (0, 2, 1, 1), (0, 2, 2, 2)}, "both, or one twice"
    for taken, left in zip(drawn.taken, drawn.left, strict=True):
        assert left.sum() in (0, 1, 3)
        assert (left.sum() == 0) == (taken[1:].tolist() == [2, 1, 1]), "left out is what was not drawn"
