"""How far a service's clock is from ours, by what it wrote on a reply and by how long that took."""

from datetime import UTC, datetime

import pytest

from pipeline.doubts.provider_clocks import Clock, Finding, told

ASKED_AT_S = 1000.0


def _ahead_s(served_at: float | None) -> float:
    return Clock(datetime.fromtimestamp(ASKED_AT_S, UTC)).ahead_s(served_at, asked_at_s=ASKED_AT_S)


def test_a_reply_of_the_second_in_which_it_was_asked_for_says_nothing_against_the_clock() -> None:
    assert _ahead_s(1000.0) == 0
    assert _ahead_s(999.0) == 0, "the header names whole seconds"
    assert _ahead_s(None) == 0


def test_a_reply_from_before_the_question_is_of_a_clock_behind_ours() -> None:
    assert _ahead_s(700.0) == -299


def test_a_reply_from_after_its_coming_is_of_a_clock_ahead_of_ours() -> None:
    assert 0 < _ahead_s(1300.0) <= 300


@pytest.mark.parametrize(("ahead_s", "off"), [(-300.0, True), (31.0, True), (30.0, False), (0.0, False), (None, False)])
def test_half_a_minute_is_let_pass(ahead_s: float | None, *, off: bool) -> None:
    assert Finding(lane="ttapi", ahead_s=ahead_s).is_off is off


def test_people_are_told_which_way() -> None:
    assert (told(-300.0), told(42.4)) == ("300 s behind ours", "42 s ahead of ours")
