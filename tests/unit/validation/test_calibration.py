"""From scores to figures and cuts, held against counting by hand."""

from itertools import product
from math import erf, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from validation.calibration import (
    Rule,
    auc,
    equal_error_rate,
    examine,
    floor,
    recommended_cut,
    roc,
    spared,
)

# Few different values, so that ties are common.
SCORES = st.lists(st.integers(-20, 20).map(lambda number: number / 20), min_size=1, max_size=40)


def errors(positives: list[float], negatives: list[float], cut: float) -> tuple[float, float]:
    rejected = sum(score < cut for score in positives) / len(positives)
    accepted = sum(score >= cut for score in negatives) / len(negatives)
    return rejected, accepted


@given(SCORES, SCORES)
def test_the_auc_is_the_share_of_pairs_that_are_the_right_way_round(
    positives: list[float], negatives: list[float]
) -> None:
    won = [(good > bad) + (good == bad) / 2 for good, bad in product(positives, negatives)]
    assert auc(positives, negatives) == pytest.approx(sum(won) / len(won))


@given(SCORES, SCORES)
def test_exchanging_the_two_sets_turns_the_auc_round(positives: list[float], negatives: list[float]) -> None:
    assert auc(positives, negatives) + auc(negatives, positives) == pytest.approx(1)


@given(SCORES, SCORES)
def test_the_area_under_the_curve_that_is_drawn_is_the_auc(positives: list[float], negatives: list[float]) -> None:
    accepted_wrongly, accepted_rightly = roc(positives, negatives)
    assert (accepted_wrongly[0], accepted_rightly[0]) == (0, 0)
    assert (accepted_wrongly[-1], accepted_rightly[-1]) == (1, 1)
    assert np.all(np.diff(accepted_wrongly) >= 0)
    assert np.all(np.diff(accepted_rightly) >= 0)
    assert np.trapezoid(accepted_rightly, accepted_wrongly) == pytest.approx(auc(positives, negatives))


@given(SCORES, SCORES)
def test_no_cut_that_keeps_the_positives_accepts_fewer_negatives(
    positives: list[float], negatives: list[float]
) -> None:
    rejected, accepted = errors(positives, negatives, recommended_cut(positives, negatives))
    allowed = spared(len(positives)) / len(positives)
    assert rejected <= allowed
    for cut in {*positives, *negatives}:
        other_rejected, other_accepted = errors(positives, negatives, cut)
        if other_rejected <= allowed:
            assert (accepted, rejected) <= (other_accepted, other_rejected)


@given(SCORES, SCORES)
def test_the_equal_error_rate_lies_between_the_best_and_the_balanced_cut(
    positives: list[float], negatives: list[float]
) -> None:
    found = equal_error_rate(positives, negatives)
    at_cuts = [errors(positives, negatives, cut) for cut in [*positives, *negatives, 2.0]]
    assert 0 <= found <= 1
    assert found <= min(max(pair) for pair in at_cuts) + 1e-9
    assert found >= max(min(pair) for pair in at_cuts) - 1e-9


def test_ninety_five_of_a_hundred_new_positives_are_expected_above_the_cut() -> None:
    assert [spared(count) for count in (1, 19, 20, 38, 39, 59, 100)] == [0, 0, 0, 0, 1, 2, 4]
    rng = np.random.default_rng(7)
    kept = []
    for _ in range(300):
        # With the negatives among them, the cut goes as high as it may.
        cut = recommended_cut(list(rng.normal(size=60)), list(rng.normal(size=400)))
        kept.append(np.mean(rng.normal(size=400) >= cut))
    assert np.mean(kept) == pytest.approx(0.95, abs=0.01)


def test_where_the_sets_lie_apart_the_cut_is_in_the_middle_between_them() -> None:
    assert recommended_cut([0.8, 0.9, 0.95], [0.1, 0.3, 0.4]) == pytest.approx(0.6)


def test_one_outlier_among_the_positives_is_kept_where_that_costs_nothing() -> None:
    positives = [0.5] + [0.8 + step / 200 for step in range(39)]
    assert recommended_cut(positives, [0.1, 0.2]) == pytest.approx(0.35)


def test_one_outlier_among_the_positives_is_given_up_where_keeping_it_lets_others_in() -> None:
    positives = [0.2] + [0.8 + step / 200 for step in range(39)]
    assert recommended_cut(positives, [0.1, 0.3, 0.4]) == pytest.approx(0.6)


def test_a_floor_lies_as_far_below_the_lowest_positive_as_that_below_the_median() -> None:
    assert floor([0.5, 0.6, 0.7]) == pytest.approx(0.4)
    assert floor([0.6] * 5) == pytest.approx(0.6)
    assert floor([0.6006] * 5) == 0.6
    assert floor([-0.9, 0.9, 0.9]) == -1


@given(SCORES, SCORES)
def test_a_floor_turns_no_positive_away(positives: list[float], negatives: list[float]) -> None:
    found = examine(positives, negatives, present=0.0, rule=Rule.FLOOR, resamples=20)
    assert found.recommended.cut == floor(positives) <= min(positives)
    assert found.recommended.false_reject == 0
    assert found.rule is Rule.FLOOR


def test_a_cut_is_not_rounded_past_a_score() -> None:
    cut = recommended_cut([0.50012], [0.50011])
    assert 0.50011 < cut <= 0.50012


def test_with_every_negative_above_the_cut_stays_on_the_lowest_positive_it_must_keep() -> None:
    assert errors([0.2] * 5, [0.7, 0.8], recommended_cut([0.2] * 5, [0.7, 0.8])) == (0, 1)


def drawn(seed: int, *, apart: float, count: int) -> tuple[list[float], list[float]]:
    rng = np.random.default_rng(seed)
    return list(rng.normal(apart, 0.1, count)), list(rng.normal(0, 0.1, count))


def test_the_same_seed_gives_the_same_figures() -> None:
    positives, negatives = drawn(1, apart=0.2, count=30)
    first, second, third = (examine(positives, negatives, present=0.1, seed=seed) for seed in (5, 5, 6))
    assert first == second
    assert first.auc_interval != third.auc_interval
    assert first.auc == third.auc


def test_the_intervals_hold_the_true_values_about_as_often_as_they_say() -> None:
    held = 0
    for seed in range(60):
        positives, negatives = drawn(seed, apart=0.2, count=60)
        found = examine(positives, negatives, present=0.1, resamples=400)
        # Two normals two deviations apart: half of them above each other's middle, by tables.
        held += found.auc_interval.low <= 0.9214 <= found.auc_interval.high
        assert found.auc_interval.low <= found.auc <= found.auc_interval.high
        assert found.cut_interval.low <= found.recommended.cut <= found.cut_interval.high
    assert held >= 51


def grids(rng: np.random.Generator, number: int, *, apart: float) -> tuple[list[float], list[int]]:
    """Scores of so many generations of four alike pictures, and which generation each is of."""
    middles = np.repeat(rng.normal(apart, 0.1, number), 4)
    return list(middles + rng.normal(0, 0.02, 4 * number)), [at // 4 for at in range(4 * number)]


def coverage(number: int, *, grouped: bool) -> tuple[int, int]:
    """Of 60 calibrations on so many grids of each kind: intervals that hold the truth, and calibrations so called."""
    deviation = sqrt(0.1**2 + 0.02**2)
    truth = (1 + erf(0.15 / deviation / 2)) / 2
    held = called = 0
    rng = np.random.default_rng(1)
    for _ in range(60):
        (positives, of_positives), (negatives, of_negatives) = (
            grids(rng, number, apart=0.15),
            grids(rng, number, apart=0),
        )
        groups = (of_positives, of_negatives) if grouped else None
        found = examine(positives, negatives, present=0.1, groups=groups, resamples=200)
        held += found.auc_interval.low <= truth <= found.auc_interval.high
        called += found.calibrated
    return held, called


def test_pictures_of_one_generation_are_not_taken_for_independent_ones() -> None:
    held, called = coverage(5, grouped=False)
    assert held < 45, "what was wrong: twenty pictures that are five"
    held_grouped, called_grouped = coverage(5, grouped=True)
    assert held_grouped > held + 8
    assert (called > 0, called_grouped) == (True, 0), "five are too few, however many pictures each has"


def test_the_intervals_of_groups_hold_the_true_value_about_as_often_as_they_say() -> None:
    held, _ = coverage(25, grouped=True)
    assert held >= 51


def test_groups_of_one_are_no_groups() -> None:
    positives, negatives = drawn(2, apart=0.2, count=25)
    alone = (list(range(25)), list(range(100, 125)))
    assert examine(positives, negatives, present=0.1, groups=alone) == examine(positives, negatives, present=0.1)


def test_what_is_lacking_counts_groups() -> None:
    found = examine([0.9] * 40, [0.1] * 40, present=0.75, groups=([at // 4 for at in range(40)], list(range(40))))
    assert found.lacking == ["10 more independent positives (40 count as 10 of at least 20)"]
    assert not found.tells
    assert (found.positives, found.positive_groups, found.negative_groups) == (40, 10, 40)


def test_a_group_counts_once_for_what_may_be_turned_away() -> None:
    # Of forty independent positives one may be lost; of ten grids of four none.
    positives = [0.2] * 4 + [0.9] * 36
    groups = ([at // 4 for at in range(40)], list(range(30)))
    assert examine(positives, [0.5] * 30, present=0.75, groups=groups).recommended.false_reject == 0


def test_a_score_tells_where_it_is_no_guessing() -> None:
    assert examine(*drawn(1, apart=0.2, count=30), present=0.1).tells
    assert not examine(*drawn(1, apart=0.0, count=30), present=0.1).tells
    assert not examine(*drawn(1, apart=-0.2, count=30), present=0.1).tells, "nor where it is the wrong way round"


def test_what_to_expect_of_new_pictures_is_worse_than_what_the_cut_was_made_of() -> None:
    pairs = [drawn(seed, apart=0.3, count=20) for seed in range(30)]
    found = [examine(positives, negatives, present=0.1, resamples=300) for positives, negatives in pairs]
    seen = np.mean([one.recommended.false_reject + one.recommended.false_accept for one in found])
    expected = np.mean([one.unseen.false_reject + one.unseen.false_accept for one in found])
    again = []
    for number, one in enumerate(found):
        positives, negatives = drawn(1000 + number, apart=0.3, count=2000)
        again.append(sum(errors(positives, negatives, one.recommended.cut)))
    assert seen < np.mean(again)
    assert abs(expected - np.mean(again)) < abs(seen - np.mean(again))


def test_no_error_among_twenty_is_not_taken_for_no_error_ever() -> None:
    found = examine([0.9 + step / 1000 for step in range(20)], [0.1] * 20, present=0.75)
    assert found.present.false_accept == 0
    assert found.present.false_accept_interval.high == pytest.approx(1 - 0.025 ** (1 / 20))
    assert found.present.false_reject_interval.high > 0.15


def test_nineteen_of_a_kind_are_too_few_and_the_figures_are_there_all_the_same() -> None:
    found = examine([0.9] * 19, [0.1] * 20, present=0.75)
    assert not found.calibrated
    assert found.lacking == ["1 more positives (19 of at least 20)"]
    assert (found.auc, found.recommended.cut) == (1.0, 0.5)
    assert examine([0.9] * 20, [0.1] * 20, present=0.75).calibrated


def test_scores_that_tell_nothing_apart_are_no_calibration() -> None:
    positives, negatives = drawn(3, apart=0.0, count=40)
    found = examine(positives, negatives, present=0.1)
    assert not found.calibrated
    assert found.lacking[0].startswith("a score that tells them apart (AUC 0.")


@pytest.mark.parametrize(("positives", "negatives"), [([0.5], [0.5]), ([0.9], [0.1]), ([0.1], [0.9])])
def test_one_example_of_each_gives_figures_and_no_warning(positives: list[float], negatives: list[float]) -> None:
    found = examine(positives, negatives, present=0.75)
    assert len(found.lacking) == 3 - (positives > negatives)
