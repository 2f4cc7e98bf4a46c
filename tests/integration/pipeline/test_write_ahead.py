"""Rows that are written while later ones are checked are the same rows, all or none, and nobody sees them early."""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from db.incoming import write_ahead
from db.records import characters
from db.records.characters import NewThresholds
from db.schema import batches, generations
from db.session import Database, DatabaseAway
from domain.errors import BadInput
from pipeline.intake.commit import Enqueued, commit, writing_ahead
from pipeline.intake.plan import Order, prepare
from pipeline.intake.prompt_rows import PromptRow
from pipeline.process.spool import Spool
from pipeline.resources import Resources
from providers.catalogue import load
from tests.conftest import Sent
from tests.support.books import USER
from tests.support.commands import ROOT
from tests.support.steps import StepRunner, runner_of

NOBODY = "http://127.0.0.1:9"
#: Enough that most of them are written before the last one is checked.
MANY = 5_000
CATALOGUE = load()


class _Interrupted(Spool[tuple[int, str]]):
    """Lines, in the middle of which something happens."""

    def __init__(self, interrupt: Callable[[], object]) -> None:
        super().__init__()
        self._interrupt = interrupt

    def __iter__(self) -> Iterator[tuple[int, str]]:
        for number, line in enumerate(super().__iter__()):
            if number == len(self) // 2:
                self._interrupt()
            yield line


@pytest.fixture
def runner(database: Database, sent: Sent, home: Path) -> Iterator[StepRunner]:
    with runner_of(database, url=NOBODY, sent=sent, home=home) as opened:
        yield opened


def _rows(count: int = MANY) -> Iterator[PromptRow]:
    """Ten of every thousand prompts are the same in all thousands, and the last is the eighth again."""
    for at in range(count):
        prompt = f"prompt {at % 1_000 if at % 100 == 0 else at}"
        yield _row(at, "prompt 7" if at == count - 1 else prompt)


def _row(at: int, prompt: str) -> PromptRow:
    return PromptRow(position=at, line=at + 2, prompt=prompt, settings={}, extra={})


def _order(rows: Iterable[PromptRow], **order: Any) -> Order:
    return Order(**{"name": "batch", "user_id": USER, "provider": "sandbox", "prompts": rows, **order})


def _enqueue(resources: Resources, order: Order) -> Enqueued:
    with writing_ahead(resources) as ahead:
        return commit(resources, prepare(resources, order, catalogue=CATALOGUE, ahead=ahead))


def _afterwards(resources: Resources, order: Order) -> Enqueued:
    return commit(resources, prepare(resources, order, catalogue=CATALOGUE))


def _found(runner: StepRunner, written: Enqueued) -> list[tuple[int, str, int]]:
    rows = [row for row in runner.books.rows(generations) if row.batch_id == written.batch_id]
    return sorted((row.position, row.prompt, row.occurrence) for row in rows)


def _while_copying(database_url: str, statement: str = "count(*)") -> int:
    """What holds for the servers that take rows now."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        found = connection.execute(
            f"SELECT {statement} FROM pg_stat_activity"
            " WHERE datname = current_database() AND query LIKE 'COPY generations%' AND state <> 'idle'"
        ).fetchall()
        return len(found) if statement != "count(*)" else int(found[0][0])


def _in_the_middle(rows: Iterable[PromptRow], do: Callable[[], None]) -> Iterator[PromptRow]:
    for row in rows:
        if row.position == MANY // 2:
            do()
        yield row


def test_the_rows_are_the_same_as_those_that_are_written_afterwards(runner: StepRunner) -> None:
    ahead = _enqueue(runner.resources, _order(_rows()))
    afterwards = _afterwards(runner.resources, _order(_rows(), name="afterwards"))
    assert (ahead.new, ahead.known, list(ahead.vanished)) == (MANY, 0, [])
    assert _found(runner, ahead) == _found(runner, afterwards)
    assert sum(occurrence for _, _, occurrence in _found(runner, ahead)) == 10 * (1 + 2 + 3 + 4) + 1


def test_nobody_sees_a_row_before_the_commit(runner: StepRunner, database_url: str) -> None:
    seen: list[tuple[int, int]] = []

    def look() -> None:
        seen.append((_while_copying(database_url), len(runner.books.rows(batches))))

    written = _enqueue(runner.resources, _order(_in_the_middle(_rows(), look)))
    assert seen == [(1, 0)], "the rows were on their way, and no batch was to be seen"
    assert len(_found(runner, written)) == MANY


def test_a_wrong_row_at_the_end_leaves_nothing_and_the_name_is_free(runner: StepRunner) -> None:
    wrong = [*_rows(), _row(MANY, "a pig --ar none")]
    with pytest.raises(BadInput):
        _enqueue(runner.resources, _order(wrong))
    assert runner.books.rows(batches) == []
    assert _enqueue(runner.resources, _order(_rows())).new == MANY


def test_a_plan_that_is_not_committed_leaves_nothing(runner: StepRunner, database_url: str) -> None:
    with writing_ahead(runner.resources) as ahead:
        prepare(runner.resources, _order(_rows()), catalogue=CATALOGUE, ahead=ahead)
        assert _while_copying(database_url) == 1
    assert _while_copying(database_url) == 0
    assert runner.books.rows(batches) == runner.books.rows(generations) == []


def test_a_plan_that_is_looked_at_first_holds_no_transaction(runner: StepRunner, database_url: str) -> None:
    order = _order(_rows())
    with writing_ahead(runner.resources, at_once=False) as ahead:
        plan = prepare(runner.resources, order, catalogue=CATALOGUE, ahead=ahead)
        assert _while_copying(database_url) == 0
        assert commit(runner.resources, plan).new == MANY


def test_a_batch_that_exists_gets_what_is_new_to_it(runner: StepRunner) -> None:
    first = _enqueue(runner.resources, _order(_rows(MANY - 100)))
    again = _enqueue(runner.resources, _order(_rows()))
    assert (again.batch_id, again.new + again.known) == (first.batch_id, MANY)
    assert len(_found(runner, again)) == first.new + again.new
    assert _enqueue(runner.resources, _order(_rows())).new == 0


@pytest.mark.parametrize("when", ["while rows are checked", "before the commit"])
def test_a_lost_connection_costs_time_and_no_row(
    runner: StepRunner, database_url: str, when: str, caplog: pytest.LogCaptureFixture
) -> None:
    lost: list[int] = []

    def lose() -> None:
        lost.append(_while_copying(database_url, "pg_terminate_backend(pid)"))

    middle = when == "while rows are checked"
    order = _order(_in_the_middle(_rows(), lose) if middle else _rows())
    with writing_ahead(runner.resources) as ahead:
        plan = prepare(runner.resources, order, catalogue=CATALOGUE, ahead=ahead)
        if not middle:
            lose()
        written = commit(runner.resources, plan)
    assert lost == [1]
    assert [one.getMessage() for one in caplog.records if one.name == "psycopg"] == []
    assert written.new == len(_found(runner, written)) == MANY


def test_a_connection_that_is_lost_in_the_last_copy_says_so(
    runner: StepRunner, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    plan = prepare(runner.resources, _order(_rows(100_000)), catalogue=CATALOGUE)
    lines = _Interrupted(lambda: _while_copying(database_url, "pg_terminate_backend(pid)"))
    for line in plan.lines:
        lines.append(line)
    with pytest.raises(DatabaseAway):
        commit(runner.resources, dataclasses.replace(plan, lines=lines))
    assert [one.getMessage() for one in caplog.records if one.name == "psycopg"] == []
    assert runner.books.rows(batches) == []


@pytest.mark.parametrize("rows", ["no row comes", "rows go on coming"])
def test_rows_that_take_too_long_hold_up_nobody(
    runner: StepRunner, database_url: str, monkeypatch: pytest.MonkeyPatch, rows: str
) -> None:
    monkeypatch.setattr(write_ahead, "_LONGEST_S", 1.0)
    met: list[Enqueued] = []

    def meet() -> None:
        """Another enqueues under the name, while the prompts of the first are waited for."""
        assert _while_copying(database_url) == 1
        met.append(_afterwards(runner.resources, _order(_rows(10))))

    def slowly() -> Iterator[PromptRow]:
        for row in _rows():
            if row.position > MANY // 2:
                time.sleep(0.001)
            yield row

    order = _order(_in_the_middle(_rows(), meet) if rows == "no row comes" else slowly())
    with writing_ahead(runner.resources) as ahead:
        plan = prepare(runner.resources, order, catalogue=CATALOGUE, ahead=ahead)
        assert _while_copying(database_url) == 0
        written = commit(runner.resources, plan)
    known = 10 if met else 0
    assert (sum(one.new for one in met), written.new, written.known) == (known, MANY - known, known)
    assert len(_found(runner, written)) == MANY


def test_threads_of_one_script_do_not_wait_for_each_other_s_connections(
    database_url: str, sent: Sent, home: Path
) -> None:
    """Each holds one while its rows come and needs a second one, and there are four."""
    database = Database(database_url, pool_size=2, application="likeness test")
    with runner_of(database, url=NOBODY, sent=sent, home=home) as runner, ThreadPoolExecutor(4) as pool:
        orders = [_order(_rows(), name=f"batch {number}") for number in range(4)]
        began = time.monotonic()
        written = list(pool.map(lambda order: _enqueue(runner.resources, order), orders))
        assert [one.new for one in written] == [MANY] * 4
        assert time.monotonic() - began < 25, "nobody waited for the pool's thirty seconds"
    database.close()


def test_behind_a_pooler_nobody_keeps_a_connection_while_rows_are_checked(
    runner: StepRunner, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One pool of connections for many clients; `tests/acceptance/test_pooler.py` has a real one."""
    monkeypatch.setattr(write_ahead, "is_lent", lambda _: True)
    seen: list[int] = []
    order = _order(_in_the_middle(_rows(), lambda: seen.append(_while_copying(database_url))))
    assert (_enqueue(runner.resources, order).new, seen) == (MANY, [0])
    assert not runner.resources.database.long_transaction.locked()


def test_a_script_may_enqueue_under_the_same_name_from_inside_its_prompts(
    runner: StepRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write_ahead, "_LONGEST_S", 1.0)
    inner: list[Enqueued] = []
    order = _order(_in_the_middle(_rows(), lambda: inner.append(_enqueue(runner.resources, _order(_rows(10))))))
    outer = _enqueue(runner.resources, order)
    assert (inner[0].new, outer.new, outer.known) == (10, MANY - 10, 10)


def test_the_batch_s_character_can_be_changed_meanwhile(runner: StepRunner) -> None:
    character = runner.character()
    changed: list[int] = []

    def change() -> None:
        with runner.resources.database.transaction(impatient=True) as connection:
            new = NewThresholds(core=0.9, style=0.5, origin="person")
            changed.append(characters.set_thresholds(connection, character, new))

    written = _enqueue(runner.resources, _order(_in_the_middle(_rows(), change), character="lulu"))
    assert (len(changed), written.new) == (1, MANY)


@pytest.mark.parametrize("setting", ["transaction_timeout", "statement_timeout", "idle_in_transaction_session_timeout"])
@pytest.mark.parametrize("when", ["while rows are checked", "before the commit"])
def test_a_server_that_allows_no_long_transaction_gets_a_short_one(
    runner: StepRunner, database_url: str, when: str, setting: str
) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f"ALTER DATABASE {name} SET {setting} = '1s'")
    try:
        runner.resources.database.close()  # the next connections have it
        middle = when == "while rows are checked"
        order = _order(_in_the_middle(_rows(), lambda: time.sleep(2)) if middle else _rows())
        with writing_ahead(runner.resources) as ahead:
            plan = prepare(runner.resources, order, catalogue=CATALOGUE, ahead=ahead)
            time.sleep(0 if middle else 2)
            written = commit(runner.resources, plan)
        assert written.new == len(_found(runner, written)) == MANY
    finally:
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute(f"ALTER DATABASE {name} RESET {setting}")


def test_a_process_that_dies_on_the_way_leaves_nothing(
    runner: StepRunner, database_url: str, redis_url: str, home: Path
) -> None:
    program = f"""
import os, signal
import likeness

def prompts():
    for number in range({MANY}):
        if number == {MANY} - 1:
            os.kill(os.getpid(), signal.SIGKILL)
        yield f"prompt {{number}}"

with likeness.connect() as connection:
    connection.enqueue(prompts(), name="batch", provider="sandbox")
"""
    servers = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "LIKENESS_HOME": str(home)}
    environment = {**os.environ, **servers, "SANDBOX_BASE_URL": NOBODY}
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert runner.books.rows(batches) == []
    assert _enqueue(runner.resources, _order(_rows())).new == MANY
