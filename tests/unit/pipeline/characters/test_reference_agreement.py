"""The spread of references: what is far from the others is named, and what merely varies is not."""

import numpy as np
import pytest

from pipeline.characters.reference_agreement import ReferenceAgreement


def _spread(*cosines_below: tuple[float, ...]) -> ReferenceAgreement:
    """From the lower triangle, row by row."""
    size = len(cosines_below) + 1
    matrix = np.eye(size)
    for row, values in enumerate(cosines_below, start=1):
        for column, value in enumerate(values):
            matrix[row, column] = matrix[column, row] = value
    return ReferenceAgreement(model="m", matrix=matrix.tolist())


def test_the_spread_is_told_by_its_mean_and_its_lowest() -> None:
    spread = _spread((0.9,), (0.8, 0.7))
    assert spread.mean == pytest.approx(0.8)
    assert spread.lowest == 0.7
    assert spread.means == pytest.approx([0.85, 0.8, 0.75])
    assert spread.outliers == [], "references that vary are not far"


def test_a_reference_far_from_the_others_is_named() -> None:
    assert _spread((0.9,), (0.92, 0.91), (0.4, 0.5, 0.45)).outliers == [3]


def test_of_two_references_nobody_can_say_which_is_wrong() -> None:
    assert _spread((0.1,)).outliers == []


def test_where_all_are_far_apart_none_is_an_outlier() -> None:
    assert _spread((0.5,), (0.2, 0.6), (0.4, 0.2, 0.35)).outliers == []
