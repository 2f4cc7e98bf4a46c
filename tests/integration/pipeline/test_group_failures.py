"""What befalls one member of a group, or of a sweep, and what it must not cost the others."""

from dataclasses import replace

import pytest
from sqlalchemy import Connection, text

from db.grouping import Grouped
from db.moves import grouped
from pipeline.attempts import poll, submit
from providers.contract import Made
from tests.support.steps import InstantLane, StepRunner, at_once

THREADS = 16


def test_a_message_whose_group_failed_is_carried_out_all_the_same(runner: StepRunner) -> None:
    """Or it would be spent on what befell a neighbour, and the attempt wait until it is published again."""
    attempt_id = runner.admitted("a pig")

    def canceled(connection: Connection, _: object) -> list[grouped.Admitted | None]:
        connection.execute(text("SET LOCAL statement_timeout = 1; SELECT pg_sleep(30)"))
        return []

    moves = replace(runner.resources.grouped, admitted=Grouped(canceled))
    assert submit.submit(replace(runner.resources, grouped=moves), attempt_id) is None
    assert runner.books.attempt(attempt_id).state == "generating"


def test_a_look_that_fails_takes_no_other_with_it(runner: StepRunner) -> None:
    """Those that had not begun would stay claimed until the lease runs out, after every sweep anew."""

    class OneFails(InstantLane):
        def poll(self, job_id: str) -> Made:
            if job_id == f"job {ids[0]}":
                raise RuntimeError("nobody has thought of this")
            return super().poll(job_id)

    runner.books.sql("UPDATE lanes SET concurrency = 1000, rate_limit = NULL")
    timing = replace(runner.resources.timing, illegal_limit=1000)
    lanes = {"sandbox": OneFails(runner.resources.lanes["sandbox"])}
    resources = replace(runner.resources, lanes=lanes, timing=timing)
    replace(runner, resources=resources).enqueue(*[f"a pig {number}" for number in range(2 * THREADS)])
    ids = runner.sent.take("submit")
    for at in (0, THREADS):
        at_once(THREADS, lambda one: submit.submit(resources, one), ids[at : at + THREADS])
    runner.books.sql("UPDATE attempts SET due_at = now()")
    runner.books.sql("UPDATE attempts SET due_at = now() - interval '1 hour' WHERE id = :id", id=ids[0])
    with pytest.raises(RuntimeError, match="nobody has thought"):
        poll.sweep(resources, "sandbox")
    assert [runner.books.attempt(one).state for one in ids] == ["generating", *["collecting"] * (2 * THREADS - 1)]
