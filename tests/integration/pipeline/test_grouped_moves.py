"""Moves in groups: the same rows as alone, and few statements, commits and messages per generation.

The counts do not depend on the machine: sixteen threads of a process ask for the same move at the same time.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from threading import Barrier, Lock
from typing import Any

import pytest
from sqlalchemy import event, select

from db.grouping import Grouped
from db.moves import grouped, grouped_pictures
from db.schema import attempts, generation_assets, generations, ledger_entries
from db.schema_checks import model_inputs, verdicts
from db.session import Database
from domain.errors import LostRace
from domain.ids import AttemptId
from domain.states import GenerationState
from pipeline.attempts import collect, poll, submit, validate
from pipeline.attempts.admit import admit_everywhere
from pipeline.process.grouped_moves import GroupedMoves
from tests.conftest import Sent
from tests.support.books import Books, lease
from tests.support.steps import PREPROCESSING, PRICE, InstantLane, StepRunner, at_once, runner_of, sandbox_at

THREADS = 16
ROUNDS = 4


@pytest.fixture(scope="module")
def sandbox_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with sandbox_at(tmp_path_factory.mktemp("sandbox")) as url:
        yield url


@pytest.fixture
def runner(database: Database, sandbox_url: str, sent: Sent, home: Path) -> Iterator[StepRunner]:
    with runner_of(database, url=sandbox_url, sent=sent, home=home) as opened:
        yield opened


def _alone() -> GroupedMoves:
    """Groups that do nothing, so that every move goes alone."""
    usual = GroupedMoves()
    names = [one.name for one in fields(GroupedMoves) if one.name != "admitted"]
    nothing = {name: Grouped[Any, Any](lambda _, items: [None] * len(items)) for name in names}
    return replace(usual, **nothing)


def _run(runner: StepRunner, moves: GroupedMoves, name: str) -> AttemptId:
    runner = replace(runner, resources=replace(runner.resources, grouped=moves))
    attempt_id = runner.admitted("a pig", name=name, character="lulu")
    assert runner.submit(attempt_id) is None
    runner.until_made(attempt_id)
    assert runner.collect(attempt_id) is None
    assert runner.validate(attempt_id) is None
    return attempt_id


#: What differs between two runs of the same: ids, moments, and what the provider draws anew.
_OWN = frozenset(
    {"id", "batch_id", "generation_id", "attempt_id", "asset_id", "token", "job_id", "identity", "sent_prompt"}
)
_DRAWN = frozenset({"r2_key", "sha256", "file_size", "result", "metadata"})


def _seen(row: Any) -> dict[str, Any]:
    """A row as two equal runs have it: moments only as set or not."""
    found = {name: value for name, value in row._mapping.items() if name not in _OWN | _DRAWN}
    return {name: "a moment" if isinstance(value, datetime) else value for name, value in found.items()}


def _rows_of(runner: StepRunner, attempt_id: AttemptId) -> dict[str, list[dict[str, Any]]]:
    attempt = runner.books.attempt(attempt_id)
    assets = [one for one in runner.books.rows(generation_assets) if one.attempt_id == attempt_id]
    ids = {one.id for one in assets}
    own: dict[Any, Callable[[Any], bool]] = {
        attempts: lambda row: bool(row.id == attempt_id),
        generations: lambda row: bool(row.id == attempt.generation_id),
        ledger_entries: lambda row: bool(row.attempt_id == attempt_id),
        generation_assets: lambda row: bool(row.attempt_id == attempt_id),
        verdicts: lambda row: bool(row.asset_id in ids),
        model_inputs: lambda row: bool(row.attempt_id == attempt_id),
    }
    return {
        table.name: sorted((_seen(row) for row in runner.books.rows(table) if is_own(row)), key=str)
        for table, is_own in own.items()
    }


@pytest.mark.parametrize("scores", [(0.70, 0.80, 0.95, 0.80), (0.1, 0.3, 0.2, 0.1)])
def test_a_generation_leaves_the_same_rows_in_a_group_as_alone(runner: StepRunner, scores: Sequence[float]) -> None:
    runner.scorer.scores = scores
    runner.character()
    together = _run(runner, runner.resources.grouped, "together")
    alone = _run(runner, _alone(), "alone")
    assert _rows_of(runner, together) == _rows_of(runner, alone)
    batches = [runner.books.row(runner.batch_of(one)) for one in (together, alone)]
    assert len({(one.charged_usd, one.held_usd, one.in_doubt_usd) for one in batches}) == 1


def test_an_attempt_that_was_canceled_meanwhile_takes_its_whole_group_apart(books: Books) -> None:
    ids = [books.admitted(name=f"b{n}") for n in range(2)]
    books.sql(
        "UPDATE generations SET cancel_requested_at = now() WHERE id = :id", id=books.attempt(ids[0]).generation_id
    )
    intents = [
        grouped.Intent(attempt_id=one, lease=lease(), sent_prompt="a pig", price_usd=Decimal("0.02")) for one in ids
    ]
    with pytest.raises(LostRace), books.database.transaction() as connection:
        grouped.write_intents(connection, intents)
    assert {books.attempt(one).state for one in ids} == {"admitted"}, "nothing of a group that failed stands"


def test_a_lease_that_was_lost_leaves_its_attempt_untouched_and_moves_the_others(books: Books) -> None:
    (mine, token), (lost, _) = books.submitting(name="mine"), books.submitting(name="lost")
    wait = timedelta(seconds=1)
    jobs = [
        grouped.NewJob(attempt_id=one, token=held, job_id=f"job {one}", first_look=wait, deadline=wait)
        for one, held in ((mine, token), (lost, lease().token))
    ]
    with books.database.transaction() as connection:
        assert grouped.store_jobs(connection, jobs) == [True, None]
    assert [books.attempt(one).state for one in (mine, lost)] == ["generating", "submitting"]


def test_of_two_messages_for_one_attempt_one_claims_it(books: Books) -> None:
    attempt_id = books.collecting()
    claims = [grouped_pictures.PaidClaim(attempt_id=attempt_id, lease=lease()) for _ in range(2)]
    with books.database.transaction() as connection:
        works = grouped_pictures.claim_collections(connection, claims)
    assert sorted(work is not None for work in works) == [False, True]
    assert books.attempt(attempt_id).step_tries == 1


def test_of_two_messages_for_one_attempt_one_may_send_the_request(books: Books) -> None:
    """Both in one group: what moved the attempt once is the answer to one of them, or both would pay."""
    books.lane()
    books.batch(1)
    (admitted,) = books.admit()
    intents = [
        grouped.Intent(attempt_id=admitted.attempt_id, lease=lease(), sent_prompt=f"{number}", price_usd=PRICE)
        for number in range(3)
    ]
    with books.database.transaction() as connection:
        answers = grouped.write_intents(connection, intents)
    assert answers == [True, None, None]
    row = books.attempt(admitted.attempt_id)
    assert (row.lease_token, row.sent_prompt, row.step_tries) == (intents[0].lease.token, "0", 1)


def test_a_job_that_came_too_late_is_not_told_that_it_was_stored(books: Books) -> None:
    """Beside the one whose lease holds: the late one must be adopted or doubted, not forgotten."""
    attempt_id, token = books.submitting(name="mine")
    wait = timedelta(seconds=1)
    late, right = (
        grouped.NewJob(attempt_id=attempt_id, token=held, job_id=job, first_look=wait, deadline=wait)
        for held, job in ((lease().token, "late"), (token, "right"))
    )
    with books.database.transaction() as connection:
        assert grouped.store_jobs(connection, [late, right]) == [None, None]
        assert grouped.store_jobs(connection, [right, late]) == [True, None]
    assert books.attempt(attempt_id).job_id == "right"


def test_a_burst_of_copies_of_one_message_pays_once(runner: StepRunner) -> None:
    attempt_id = runner.admitted("a pig")
    together = Barrier(THREADS)

    def submit_at_once(_: int) -> None:
        together.wait()
        runner.submit(attempt_id)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(submit_at_once, range(THREADS)))
    assert len(runner.caller.bill()) == 1
    assert runner.books.attempt(attempt_id).state == "generating"


def test_a_step_that_has_killed_a_worker_is_claimed_by_no_group(books: Books) -> None:
    attempt_id = books.collecting()
    books.sql("UPDATE attempts SET deaths = 1")
    with books.database.transaction() as connection:
        claim = grouped_pictures.PaidClaim(attempt_id=attempt_id, lease=lease())
        assert grouped_pictures.claim_collections(connection, [claim]) == [None]


def test_a_charge_above_its_hold_goes_alone(books: Books) -> None:
    attempt_id = books.generating()
    token = books.polled(attempt_id)
    made = grouped.MadeJob(
        attempt_id=attempt_id, token=token, result={}, charged_usd=Decimal(100), said_by="said by the provider"
    )
    with books.database.transaction() as connection:
        assert grouped.finish_jobs(connection, [made]) == [None]
    assert books.attempt(attempt_id).state == "generating"


def test_a_balance_adds_up_the_charges_as_they_are_stored(books: Books) -> None:
    """A millionth per charge would make the books differ from their own ledger."""
    books.lane(concurrency=10)
    batch = books.batch(prompts=3)
    ids = [one.attempt_id for one in books.admit()]
    for one in ids:
        books.accept(one, books.claim(one))
    token = books.polled(ids[0])
    made = [
        grouped.MadeJob(attempt_id=one, token=token, result={}, charged_usd=Decimal("0.0123456"), said_by="said")
        for one in ids
    ]
    with books.database.transaction() as connection:
        assert grouped.finish_jobs(connection, made) == [True] * 3
    assert books.row(batch).charged_usd == 3 * Decimal("0.012346")


def test_groups_of_several_processes_and_moves_alone_book_every_charge_once(books: Books) -> None:
    """Four processes finish jobs of two batches at the same time, and a fifth does so one by one."""
    books.lane(concurrency=100)
    batches = [books.batch(prompts=20, name=name) for name in ("one", "two")]
    ids = [one.attempt_id for one in books.admit()]
    assert len(ids) == 40
    for one in ids:
        books.accept(one, books.claim(one))
    token = books.polled(ids[0])
    processes = [Grouped(grouped.finish_jobs) for _ in range(4)]
    barrier = Barrier(len(ids))

    def finish(at: int) -> None:
        attempt_id = ids[at]
        barrier.wait()
        if at % 5 == 4:
            books.make(attempt_id, token)
            return
        made = grouped.MadeJob(attempt_id=attempt_id, token=token, result={}, charged_usd=PRICE, said_by="said")
        if not processes[at % 5].do(books.database, made):
            books.make(attempt_id, token)

    with ThreadPoolExecutor(len(ids)) as pool:
        list(pool.map(finish, range(len(ids))))
    rows = [books.row(batch) for batch in batches]
    assert [(row.charged_usd, row.held_usd) for row in rows] == [(20 * PRICE, 0)] * 2
    assert {books.attempt(one).state for one in ids} == {"collecting"}
    assert sum(row.charged_usd for row in books.rows(ledger_entries)) == 40 * PRICE


def test_a_row_that_somebody_holds_delays_its_own_attempt_alone(books: Books) -> None:
    (held, held_token), (free, free_token) = books.submitting(name="held"), books.submitting(name="free")
    wait = timedelta(seconds=1)

    def job(attempt_id: AttemptId, token: Any) -> grouped.NewJob:
        return grouped.NewJob(
            attempt_id=attempt_id, token=token, job_id=f"job {attempt_id}", first_look=wait, deadline=wait
        )

    both = [job(held, held_token), job(free, free_token)]
    together = Grouped[Any, bool](lambda connection, _: grouped.store_jobs(connection, both)[:1])
    with books.database.transaction() as connection:
        connection.execute(select(attempts.c.id).where(attempts.c.id == held).with_for_update())
        assert together.do(books.database, None) is None, "the group is taken apart"
        assert Grouped(grouped.store_jobs).do(books.database, both[1]) is True
    assert Grouped(grouped.store_jobs).do(books.database, both[0]) is True


@dataclass(slots=True)
class _Counted:
    statements: int = 0
    commits: int = 0


@contextmanager
def _counting(database: Database) -> Iterator[_Counted]:
    counted, lock = _Counted(), Lock()

    def statement(_: Any, __: Any, ___: Any, parameters: Any, ____: Any, executemany: bool) -> None:  # noqa: FBT001
        with lock:
            counted.statements += len(parameters) if executemany else 1

    def commit(_: Any) -> None:
        with lock:
            counted.commits += 1

    # Groups have connections of their own, which wait for nobody.
    engines = (database.engine, database._impatient)
    for engine in engines:
        event.listen(engine, "before_cursor_execute", statement)
        event.listen(engine, "commit", commit)
    try:
        yield counted
    finally:
        for engine in engines:
            event.remove(engine, "before_cursor_execute", statement)
            event.remove(engine, "commit", commit)


def test_a_generation_costs_few_statements_commits_and_messages(runner: StepRunner) -> None:
    runner.character()
    runner.books.sql("UPDATE lanes SET concurrency = 1000, rate_limit = NULL")
    resources = replace(
        runner.resources,
        lanes={"sandbox": InstantLane(runner.resources.lanes["sandbox"])},
        timing=replace(runner.resources.timing, illegal_limit=1000),
    )
    runner = replace(runner, resources=resources)
    count = THREADS * ROUNDS
    planned = [f"a pig {number}" for number in range(count)]
    runner.books.sql("UPDATE lanes SET closed_until = now() + interval '1 hour', reason = 'not yet'")
    runner.enqueue(*planned, character="lulu")
    runner.open_lanes()
    with _counting(resources.database) as counted:
        ids = runner.admit()
        assert len(ids) == count
        messages = len(ids)
        for at in range(0, count, THREADS):
            at_once(THREADS, lambda one: submit.submit(resources, one), ids[at : at + THREADS])
        runner.books.sql("UPDATE attempts SET due_at = now()")
        assert poll.sweep(resources, "sandbox") == count
        messages += len(runner.sent.take("collect"))
        for at in range(0, count, THREADS):
            part = ids[at : at + THREADS]
            at_once(THREADS, lambda one: collect.collect(resources, one, preprocessing=PREPROCESSING), part)
        messages += len(runner.sent.take("validate"))
        for at in range(0, count, THREADS):
            at_once(THREADS, lambda one: validate.validate(resources, one), ids[at : at + THREADS])
    states = {row.state for row in runner.books.rows(generations)}
    assert states == {GenerationState.COMPLETED}
    each = (counted.statements / count, counted.commits / count, messages / count)
    assert each[0] <= 12, each
    assert each[1] <= 5, each
    assert each[2] <= 3, each


def test_an_admission_counts_nothing_that_waits(runner: StepRunner) -> None:
    """Or its cost would grow with the queue: a count of a million rows takes most of a second, every second."""
    texts: list[str] = []

    def note(_: Any, __: Any, text: str, *___: Any) -> None:
        texts.append(text)

    runner.books.sql("UPDATE lanes SET concurrency = 1")
    runner.enqueue("a pig", "a hen")
    engine = runner.resources.database.engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        runner.books.sql("UPDATE lanes SET concurrency = 2")
        assert admit_everywhere(runner.resources) == 1
    finally:
        event.remove(engine, "before_cursor_execute", note)
    assert not [text for text in texts if "count(" in text and "FROM generations" in text]
