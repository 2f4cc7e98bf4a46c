"""When a job is looked at and when it is overdue: by its row, else by the settings, else by its kind."""

from dataclasses import replace
from datetime import timedelta

import pytest

from domain.ids import AttemptId
from tests.support.steps import StepRunner

#: The sandbox's jobs are first looked at after 0.3 s.
_USUAL_S = 2 * 0.3 + timedelta(minutes=20).total_seconds()


def _times(runner: StepRunner, attempt_id: AttemptId) -> tuple[float, float]:
    """Seconds from the submission to the deadline, and from the last look to the next one."""
    row = runner.books.attempt(attempt_id)
    return (row.deadline_at - row.accepted_at).total_seconds(), (row.due_at - row.accepted_at).total_seconds()


def _looked_at(runner: StepRunner, settings: dict[str, int]) -> tuple[float, float]:
    runner.caller.arm({"where": "submit", "what": "stuck", "match": "pig"})
    attempt_id = runner.generating("a pig", settings=settings)
    runner.books.sql("UPDATE attempts SET due_at = now()")
    assert runner.sweep() == 0
    return _times(runner, attempt_id)


def test_a_row_says_when_its_job_is_overdue_and_how_often_it_is_looked_at(runner: StepRunner) -> None:
    deadline, next_look = _looked_at(runner, {"overdue_after_s": 300, "poll_every_s": 10})
    assert deadline == pytest.approx(300, abs=1)
    assert 10 <= next_look < 300, "10 s after the look"


def test_without_a_word_both_follow_the_kind_of_job(runner: StepRunner) -> None:
    deadline, next_look = _looked_at(runner, {})
    assert deadline == pytest.approx(_USUAL_S, abs=1)
    assert next_look < 60, "soon, by the age of the job"


def test_the_settings_of_the_installation_hold_where_a_row_says_nothing(runner: StepRunner) -> None:
    timing = replace(runner.resources.timing, job_overdue=timedelta(seconds=200), poll_every=timedelta(seconds=5))
    runner.resources = replace(runner.resources, timing=timing)
    deadline, next_look = _looked_at(runner, {})
    assert deadline == pytest.approx(200, abs=1)
    assert next_look < 200
