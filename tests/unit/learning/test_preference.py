"""The preference head: when it has too little data, how near it comes to the truth, personas, equal heads."""

import numpy as np
import pytest

from learning.opinions import HEART, MOST_PER_PICTURE, OUTLIER, Opinion, choices, liking_of
from learning.preference import Head, HeadStatus, Pair, train

DIMENSIONS = 32


def unit(rng: np.random.Generator, count: int) -> np.ndarray:
    rows = rng.normal(size=(count, DIMENSIONS))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def judged(
    seed: int, count: int, *, taste: np.ndarray, sharpness: float = 8.0, persona: str | None = None
) -> list[Pair]:
    """Choices of a rater who follows `taste` as Bradley-Terry says, and errs the more the nearer two are."""
    rng = np.random.default_rng(seed)
    pairs = []
    for a, b in zip(unit(rng, count), unit(rng, count), strict=True):
        first = rng.random() < 1 / (1 + np.exp(-sharpness * float((a - b) @ taste)))
        pairs.append(Pair(preferred=a if first else b, other=b if first else a, persona=persona))
    return pairs


@pytest.fixture(scope="module")
def taste() -> np.ndarray:
    return unit(np.random.default_rng(100), 1)[0]


def test_twenty_pairs_are_not_enough(taste: np.ndarray) -> None:
    head = train(judged(1, 20, taste=taste))
    assert head.standing is HeadStatus.NOT_ENOUGH_DATA
    assert head.accuracy is None
    with pytest.raises(ValueError, match="not enough data"):
        head.rewards(np.zeros((1, DIMENSIONS)))


def test_choices_at_random_are_no_better_than_chance(taste: np.ndarray) -> None:
    heads = [train(judged(seed, 200, taste=taste, sharpness=0.0)) for seed in range(8)]
    # The interval's lower end is above one half in one of forty by chance.
    assert sum(one.standing is HeadStatus.USABLE for one in heads) <= 1


def test_two_hundred_pairs_beat_chance_with_confidence(taste: np.ndarray) -> None:
    head = train(judged(2, 200, taste=taste))
    assert head.usable
    assert head.low is not None
    assert head.low > 0.5
    rng = np.random.default_rng(3)
    rows = unit(rng, 400)
    assert np.corrcoef(head.rewards(rows), rows @ taste)[0, 1] > 0.5


def test_two_thousand_near_the_noise_ceiling_and_are_calibrated(taste: np.ndarray) -> None:
    pairs = judged(4, 2000, taste=taste)
    head = train(pairs)
    ceiling = np.mean([float(one.difference @ taste) > 0 for one in pairs])
    assert head.accuracy is not None
    assert head.accuracy > ceiling - 0.04
    assert all(abs(one.confidence - one.right) < 0.12 for one in head.bins if one.count >= 100)


def test_a_persona_recovers_what_sets_it_apart(taste: np.ndarray) -> None:
    rng = np.random.default_rng(6)
    own = unit(rng, 1)[0]
    pairs = [
        *judged(7, 600, taste=taste, persona="all"),
        *judged(8, 600, taste=taste + own, persona="apart"),
    ]
    head = train(pairs)
    rows = unit(rng, 500)
    apart = head.rewards(rows, persona="apart") - head.rewards(rows, persona="all")
    assert np.corrcoef(apart, rows @ own)[0, 1] > 0.5
    assert (head.rewards(rows, persona="stranger") == head.rewards(rows)).all()


def test_a_persona_with_few_choices_has_no_offset(taste: np.ndarray) -> None:
    head = train([*judged(9, 150, taste=taste), *judged(10, 20, taste=-taste, persona="new")])
    assert "new" not in head.offsets


def test_equal_pairs_in_any_order_give_an_equal_head(taste: np.ndarray) -> None:
    pairs = judged(11, 150, taste=taste)
    one, other = train(pairs), train(pairs[::-1])
    assert one.digest == other.digest
    assert (one.accuracy, one.bins) == (other.accuracy, other.bins)
    assert np.allclose(one.weights, other.weights)
    assert train(pairs[:-1]).digest != one.digest


def test_more_dimensions_than_pairs_give_the_same_step() -> None:
    rng = np.random.default_rng(12)
    narrow = unit(rng, 1)[0]
    pairs = judged(13, 160, taste=narrow)
    wide = [
        Pair(preferred=np.append(one.preferred, np.zeros(200)), other=np.append(one.other, np.zeros(200)))
        for one in pairs
    ]
    one, other = train(pairs), train(wide)
    assert isinstance(one, Head)
    assert np.allclose(one.weights, other.weights[:DIMENSIONS], atol=1e-5)


def test_opinions_become_choices_within_their_group() -> None:
    def said(picture: str, liking: float, group: str = "prompt", person: str = "ann") -> Opinion:
        return Opinion(picture=picture, person=person, group=group, liking=liking)

    found = list(
        choices(
            [said("a", 2), said("b", HEART), said("a", OUTLIER), said("c", 5, group="other"), said("d", 1, person="bo")]
        )
    )
    assert [(one.picture, one.other, one.person) for one in found] == [("b", "a", "ann")]


def test_one_long_session_does_not_outweigh_the_others() -> None:
    said = [Opinion(picture=f"p{at}", person="ann", group="g", liking=at % 5 + 1.0) for at in range(40)]
    found = list(choices(said))
    for picture in {one.picture for one in found}:
        assert sum(picture in {one.picture, one.other} for one in found) <= MOST_PER_PICTURE


@pytest.mark.parametrize(
    ("kind", "rating", "liking"),
    [
        ("heart", None, HEART),
        ("outlier", None, OUTLIER),
        ("rating", 3, 3.0),
        ("comment", None, None),
        ("comment", 2, 2),
    ],
)
def test_each_kind_of_feedback_has_its_place_on_one_scale(kind: str, rating: int | None, liking: float | None) -> None:
    assert liking_of(kind, rating) == liking
