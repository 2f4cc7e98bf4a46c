"""A file of prompts becomes a batch: all rows or none, each once, however often and by however many it is enqueued."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from threading import Barrier
from typing import Any

import psycopg
import pytest
from sqlalchemy import select

from db.incoming.laid_out import LaidOut
from db.records.batches import NewBatch, open_batch
from db.schema import batches, generations
from db.session import Database
from domain.errors import (
    BadInput,
    LikenessError,
    LimitTooSmall,
    PriceUnknown,
    RequestError,
    ServiceMissing,
    UnknownThing,
)
from pipeline.intake.commit import Enqueued, commit
from pipeline.intake.plan import Order, Plan, prepare
from pipeline.intake.prompt_rows import PromptRow
from pipeline.process.spool import Spool
from providers.catalogue import Catalogue, load
from tests.conftest import Sent
from tests.support.books import USER
from tests.support.steps import HOLD, StepRunner, runner_of

NOBODY = "http://127.0.0.1:9"
CATALOGUE = load()


@pytest.fixture
def runner(database: Database, sent: Sent, home: Path) -> Iterator[StepRunner]:
    """No sandbox behind it: enqueuing asks no provider."""
    with runner_of(database, url=NOBODY, sent=sent, home=home) as opened:
        yield opened


def _row(position: int, prompt: str, **fields: Any) -> PromptRow:
    return PromptRow(
        **{"position": position, "line": position + 2, "prompt": prompt, "settings": {}, "extra": {}, **fields}
    )


def _rows(*prompts: str) -> list[PromptRow]:
    return [_row(at, prompt) for at, prompt in enumerate(prompts)]


def _plan(runner: StepRunner, rows: Iterable[PromptRow], **order: Any) -> Plan:
    wanted = Order(**{"name": "batch", "user_id": USER, "provider": "sandbox", "prompts": rows, **order})
    return prepare(runner.resources, wanted, catalogue=CATALOGUE)


def _enqueue(runner: StepRunner, rows: Iterable[PromptRow], **order: Any) -> Enqueued:
    return commit(runner.resources, _plan(runner, rows, **order))


def _prompts(runner: StepRunner) -> list[str]:
    rows = runner.books.rows(generations)
    return [row.prompt for row in sorted(rows, key=lambda row: (row.position, row.occurrence))]


def test_rows_become_generations_and_the_first_are_admitted_in_the_same_call(runner: StepRunner) -> None:
    written = _enqueue(runner, _rows(*[f"prompt {number}" for number in range(15)]))
    assert (written.new, written.known, list(written.vanished)) == (15, 0, [])
    assert runner.books.counts(written.batch_id) == {"admitted": 10, "queued": 5}
    assert len(runner.sent.take("submit sandbox")) == 10


def test_the_same_file_again_adds_nothing(runner: StepRunner) -> None:
    first = _enqueue(runner, _rows("one", "two", "three"))
    again = _enqueue(runner, _rows("one", "two", "three"))
    assert again == dataclasses.replace(first, new=0, known=3)
    assert _prompts(runner) == ["one", "two", "three"]


def test_a_changed_row_is_a_new_one_and_the_old_one_is_named(runner: StepRunner) -> None:
    first = _enqueue(runner, _rows("one", "two", "three"))
    again = _enqueue(runner, _rows("one", "two, but blue", "three"))
    assert (again.batch_id, again.new, again.known) == (first.batch_id, 1, 2)
    assert list(again.vanished) == [(1, "two")]
    assert sorted(_prompts(runner)) == ["one", "three", "two", "two, but blue"]


def test_a_changed_setting_is_a_changed_row(runner: StepRunner) -> None:
    _enqueue(runner, _rows("one"), settings={"aspect_ratio": "1:1"})
    assert _enqueue(runner, _rows("one"), settings={"aspect_ratio": "2:3"}).new == 1
    assert _enqueue(runner, [_row(0, "one", settings={"aspect_ratio": "1:1"})]).known == 1


def test_rows_may_change_places(runner: StepRunner) -> None:
    _enqueue(runner, _rows("one", "two"))
    again = _enqueue(runner, _rows("two", "one"))
    assert (again.new, again.known, list(again.vanished)) == (0, 2, [])


def test_equal_rows_are_counted(runner: StepRunner) -> None:
    assert _enqueue(runner, _rows("same", "same ", "same")).new == 3
    again = _enqueue(runner, _rows("same", "same", "same", "same"))
    assert (again.new, again.known) == (1, 3)
    assert Counter(row.occurrence for row in runner.books.rows(generations)) == {0: 1, 1: 1, 2: 1, 3: 1}
    fewer = _enqueue(runner, _rows("same"))
    assert (fewer.new, fewer.known, len(fewer.vanished)) == (0, 1, 3)


def test_a_part_of_a_file_names_nothing_as_vanished(runner: StepRunner) -> None:
    _enqueue(runner, _rows("one", "two", "three"))
    again = _enqueue(runner, [_row(1, "two")], whole_file=False)
    assert (again.new, again.known, list(again.vanished)) == (0, 1, [])


def test_another_name_is_another_batch_and_so_is_another_user(runner: StepRunner) -> None:
    ids = {
        _enqueue(runner, _rows("one"), **order).batch_id
        for order in ({}, {"name": "other"}, {"user_id": "user-2"}, {"name": "batch"})
    }
    assert len(ids) == 3


def test_what_is_finished_is_not_done_again(runner: StepRunner) -> None:
    _enqueue(runner, _rows("one", "two"))
    runner.books.sql(
        "UPDATE generations SET state = 'completed', completed_at = now() WHERE id NOT IN (SELECT generation_id FROM"
        " attempts)"
    )
    before = Counter(row.state for row in runner.books.rows(generations))
    again = _enqueue(runner, _rows("one", "two"))
    assert again.new == 0
    assert Counter(row.state for row in runner.books.rows(generations)) == before


def test_limits_and_priorities_given_again_replace_and_those_not_given_stay(runner: StepRunner) -> None:
    batch = _enqueue(runner, _rows("one"), limit_usd=Decimal(5), priority=3).batch_id
    _enqueue(runner, _rows("one"))
    row = runner.books.row(batch)
    assert (row.limit_usd, row.priority) == (Decimal(5), 3)
    _enqueue(runner, _rows("one"), limit_usd=Decimal(2), priority=7)
    row = runner.books.row(batch)
    assert (row.limit_usd, row.priority) == (Decimal(2), 7)


def test_a_limit_given_again_lets_a_stopped_batch_go_on(runner: StepRunner) -> None:
    runner.books.sql("UPDATE lanes SET concurrency = 1")
    batch = _enqueue(runner, _rows("one", "two"), limit_usd=HOLD).batch_id
    (attempt_id,) = runner.sent.take("submit")
    runner.books.accept(attempt_id, runner.books.claim(attempt_id))
    runner.books.make(attempt_id, runner.books.polled(attempt_id))
    runner.books.collect(attempt_id, runner.books.claim_collection(attempt_id))
    assert runner.admit() == []
    assert runner.books.row(batch).stopped_reason == "budget"
    _enqueue(runner, _rows("one", "two"), limit_usd=Decimal(1))
    assert runner.books.row(batch).stopped_reason is None
    assert len(runner.sent.take("submit")) == 1


@pytest.mark.parametrize(
    ("row", "order", "failure"),
    [
        ({"model": "no-such-model"}, {}, UnknownThing),
        ({"provider": "no-such-provider"}, {}, RequestError),
        ({"character": "nobody"}, {}, UnknownThing),
        ({}, {"character": "nobody"}, UnknownThing),
        ({"model": "dall-e-3"}, {}, RequestError),
        ({"settings": {"mode": "warp"}}, {}, BadInput),
        ({}, {"name": " "}, BadInput),
        ({}, {"name": "n" * 201}, BadInput),
        ({}, {"name": "a\x00b"}, BadInput),
        ({}, {"limit_usd": Decimal("0.10")}, LimitTooSmall),
        ({}, {"limit_usd": Decimal("0.399999")}, LimitTooSmall),
        ({}, {"max_image_cost": Decimal("0.50"), "limit_usd": Decimal("0.49")}, LimitTooSmall),
        ({"settings": {"max_image_cost": "much"}}, {}, BadInput),
        ({"settings": {"max_image_cost": "1e30"}}, {}, BadInput),
        ({"settings": {"max_image_cost": "1e-7"}}, {}, BadInput),
    ],
)
def test_what_is_wrong_in_the_last_row_enqueues_nothing(
    runner: StepRunner, row: dict[str, Any], order: dict[str, Any], failure: type[LikenessError]
) -> None:
    rows = [*_rows(*[f"prompt {number}" for number in range(20)]), _row(20, "the last one", **row)]
    with pytest.raises(failure):
        _enqueue(runner, rows, **order)
    assert runner.books.rows(generations) == []
    assert runner.books.rows(batches) == []
    assert runner.sent.tasks == []


def test_a_wrong_row_is_named_by_its_line(runner: StepRunner) -> None:
    with pytest.raises(BadInput, match="line 7"):
        _enqueue(runner, [*_rows("one", "two"), _row(5, "three", settings={"mode": "warp"})])


def test_a_failure_while_the_rows_are_written_leaves_nothing(runner: StepRunner) -> None:
    """The last row breaks a constraint of the table, after all the others were copied."""
    planned = _plan(runner, _rows("one", "two", "three"))
    broken: Spool[tuple[int, str]] = Spool()
    for number, line in planned.lines:
        broken.append((number, line.replace("\t0.400000\t", "\t0\t") if number == 4 else line))
    with pytest.raises(Exception, match="generations_money"):
        commit(runner.resources, dataclasses.replace(planned, lines=broken))
    assert runner.books.rows(generations) == []
    assert runner.books.rows(batches) == []


def test_a_limit_of_exactly_one_hold_is_enough(runner: StepRunner) -> None:
    written = _enqueue(runner, _rows("one", "two"), limit_usd=HOLD)
    assert runner.books.counts(written.batch_id) == {"admitted": 1, "queued": 1}


def test_a_hold_of_the_operators_setting_replaces_the_estimate(runner: StepRunner) -> None:
    cheaper = dataclasses.replace(runner.resources, estimates={"sandbox": Decimal("0.05")})
    written = _enqueue(dataclasses.replace(runner, resources=cheaper), _rows("one"), limit_usd=Decimal("0.05"))
    assert runner.books.row(written.batch_id).held_usd == Decimal("0.05")


def test_an_unknown_price_is_not_zero(runner: StepRunner) -> None:
    model = CATALOGUE.default("sandbox").model_copy(update={"prices": ()})
    priceless = Catalogue((model,), defaults={"sandbox": model.name})
    wanted = Order(name="batch", user_id=USER, provider="sandbox", prompts=_rows("one"))
    with pytest.raises(PriceUnknown):
        prepare(runner.resources, wanted, catalogue=priceless)
    named = dataclasses.replace(wanted, max_image_cost=Decimal("0.30"))
    planned = prepare(runner.resources, named, catalogue=priceless)
    assert planned.largest_hold_usd == Decimal("0.30")


def test_a_provider_without_a_lane_is_refused(runner: StepRunner) -> None:
    bare = dataclasses.replace(runner, resources=dataclasses.replace(runner.resources, lanes={}))
    with pytest.raises(ServiceMissing):
        _enqueue(bare, _rows("one"))
    assert runner.books.rows(batches) == []


def test_a_plan_writes_nothing_and_adds_up(runner: StepRunner) -> None:
    planned = _plan(runner, _rows("one", "two", "three"))
    assert (planned.at_most_usd, planned.largest_hold_usd, planned.providers) == (3 * HOLD, HOLD, ["sandbox"])
    assert runner.books.rows(batches) == []


@pytest.mark.parametrize(
    "prompt", ["a\nquoted\r\nnewline", "émoji 🐷", "tab\there", "back\\slash \\N", "'; DROP TABLE --"]
)
def test_a_prompt_is_stored_as_it_was_written(runner: StepRunner, prompt: str) -> None:
    _enqueue(runner, [_row(0, prompt, theme=prompt, variation=prompt)])
    (row,) = runner.books.rows(generations)
    assert (row.prompt, row.theme, row.variation) == (prompt, prompt, prompt)


@pytest.mark.parametrize("same_order", [True, False])
def test_a_file_enqueued_by_two_at_once_has_no_row_twice(runner: StepRunner, *, same_order: bool) -> None:
    for round_ in range(5):
        rows = _rows(*[f"{round_} {number}" for number in range(300)])
        orders = [rows, rows if same_order else rows[::-1]]
        ready = Barrier(2)

        def run(mine: list[PromptRow], name: str = f"round {round_}", ready: Barrier = ready) -> Enqueued:
            planned = _plan(runner, mine, name=name)
            ready.wait()
            return commit(runner.resources, planned)

        with ThreadPoolExecutor(2) as pool:
            both = list(pool.map(run, orders))
        assert both[0].batch_id == both[1].batch_id
        assert sorted(one.new for one in both) == [0, 300]
    assert len(runner.books.rows(generations)) == 5 * 300


def test_enqueuing_more_does_not_hold_up_the_steps_of_the_batch(runner: StepRunner) -> None:
    batch = _enqueue(runner, _rows("one")).batch_id
    (attempt_id,) = runner.sent.take("submit")
    planned = _plan(runner, _rows("one", "two"))
    with runner.books.database.transaction() as busy:
        batch_id, made = open_batch(busy, NewBatch(name=planned.order.name, user_id=USER))
        assert (batch_id, made) == (batch, False)
        lines = [line for _, line in planned.lines]
        assert LaidOut(busy, batch_id, user_id=USER, lines=lines, repeats=planned.repeats).insert() == 1
        with runner.books.database.transaction() as connection:
            connection.exec_driver_sql("SET LOCAL lock_timeout = '5s'")
            connection.execute(select(batches).where(batches.c.id == batch).with_for_update(key_share=True))
    runner.books.claim(attempt_id)


LINK = "https://a.example/lulu.png?expires="


@pytest.mark.parametrize(
    ("was", "now", "says"),
    [
        ({"mode": "relax"}, {"mode": "fast"}, "mode relax is now fast (2)"),
        ({}, {"mode": "fast"}, "mode unset is now fast (2)"),
        (
            {"cref_urls": [f"{LINK}1"], "cref_weight": 80},
            {"cref_urls": [f"{LINK}2"], "cref_weight": 80},
            f"cref_urls {LINK}1 is now {LINK}2 (2)",
        ),
        (
            {"cref_urls": [f"{LINK}1"], "cref_weight": 80},
            {"cref_urls": [f"{LINK}1"], "cref_weight": 100},
            "cref_weight 80 is now 100 (2)",
        ),
    ],
)
def test_what_is_there_stays_when_only_the_way_to_make_it_changed(
    runner: StepRunner, was: dict[str, Any], now: dict[str, Any], says: str
) -> None:
    _enqueue(runner, _rows("one", "two"), settings=was)
    plan = _plan(runner, _rows("one", "two", "three"), settings=now)
    assert (plan.known, len(plan.changed), plan.at_most_usd) == (0, 2, HOLD)
    (said,) = plan.warnings
    assert says in said
    assert "--redo makes them again, for about 0.80 USD" in said
    written = commit(runner.resources, plan)
    assert (written.new, written.known, written.changed, written.vanished) == (1, 0, 2, [])
    assert len(_prompts(runner)) == 3


def test_redo_makes_it_again_and_says_so_first(runner: StepRunner) -> None:
    _enqueue(runner, _rows("one", "two"), settings={"mode": "relax"})
    plan = _plan(runner, _rows("one", "two"), settings={"mode": "fast"}, redo=True)
    (said,) = plan.warnings
    assert said.startswith("--redo makes 2 rows again, for about 0.80 USD")
    written = commit(runner.resources, plan)
    assert (written.new, written.changed, written.vanished) == (2, 0, [])
    assert commit(runner.resources, _plan(runner, _rows("one", "two"), settings={"mode": "fast"})).known == 2


def test_a_row_that_came_to_nothing_may_be_asked_for_in_another_way(runner: StepRunner) -> None:
    runner.books.sql("UPDATE lanes SET concurrency = 1")
    _enqueue(runner, _rows("one", "two"), settings={"mode": "relax"})
    runner.books.sql("UPDATE generations SET state = 'rejected', completed_at = now() WHERE prompt = 'two'")
    assert _enqueue(runner, _rows("one", "two"), settings={"mode": "fast"}).new == 1


def test_each_of_several_equal_prompts_finds_its_own(runner: StepRunner) -> None:
    rows = [_row(at, "same", settings={"cref_urls": LINK, "cref_weight": 25 * (at + 1)}) for at in range(4)]
    assert _enqueue(runner, rows).new == 4
    again = _enqueue(runner, [dataclasses.replace(row, position=3 - at) for at, row in enumerate(rows)])
    assert (again.new, again.known, again.changed) == (0, 4, 0)
    fifth = _row(4, "same", settings={"cref_urls": LINK, "cref_weight": 10})
    assert _enqueue(runner, [*rows, fifth]).new == 1, "nothing of the batch is left over that it could be"


def test_an_unchanged_batch_costs_nothing_again(runner: StepRunner) -> None:
    _enqueue(runner, _rows("one", "two"))
    plan = _plan(runner, _rows("one", "two"))
    assert (plan.total, plan.known, plan.expected_usd, plan.at_most_usd) == (2, 2, 0, 0)
    assert (plan.at_least, plan.warnings) == (timedelta(0), [])


def test_rows_that_come_one_by_one_are_none_or_all(runner: StepRunner) -> None:
    def rows() -> Iterator[PromptRow]:
        yield from _rows(*[f"prompt {number}" for number in range(500)])
        yield _row(500, "the last one", settings={"mode": "warp"})

    with pytest.raises(BadInput, match="line 502"):
        _enqueue(runner, rows())
    assert runner.books.rows(batches) == []


def test_another_theme_in_the_file_is_that_of_the_row_which_is_made_once(runner: StepRunner) -> None:
    first = _enqueue(runner, [_row(0, "one", theme="old", variation="a"), _row(1, "two", theme="kept")])
    again = _enqueue(runner, [_row(0, "one", theme="new", variation="b"), _row(1, "two")])
    assert (again.batch_id, again.new, again.known) == (first.batch_id, 0, 2)
    rows = sorted(runner.books.rows(generations), key=lambda row: row.position)
    assert [(row.theme, row.variation) for row in rows] == [("new", "b"), ("kept", None)], "none says nothing of it"


@pytest.mark.parametrize("names", ["lulu; zoe", "lulu, zoe", "lulu and zoe", "lulu & zoe", "lulu\nzoe"])
def test_a_cell_may_name_two_characters_as_people_write_it(runner: StepRunner, names: str) -> None:
    both = [runner.books.character("lulu"), runner.books.character("zoe")]
    _enqueue(runner, [_row(0, "both", character=names)])
    (row,) = runner.books.rows(generations)
    assert [row.character_id, *row.further_character_ids] == both
    with pytest.raises(UnknownThing, match=r"line 3: there is no character 'nobody'.*semicolons between"):
        _enqueue(runner, [_row(1, "both", character=f"{names}, nobody")])


@pytest.mark.parametrize("names", ["lulu; zoe", "lulu, zoe", "lulu and zoe"])
def test_so_may_the_whole_order(runner: StepRunner, names: str) -> None:
    both = [runner.books.character("lulu"), runner.books.character("zoe")]
    _enqueue(runner, [_row(0, "both")], character=names)
    (row,) = runner.books.rows(generations)
    assert [row.character_id, *row.further_character_ids] == both
    assert [one.character_id for one in runner.books.rows(batches)] == both[:1]
    with pytest.raises(UnknownThing, match=r"there is no character 'nobody'.*semicolons between"):
        _enqueue(runner, [_row(1, "both")], character=f"{names}, nobody")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_hundred_thousand_rows_are_simply_accepted_and_resumed(runner: StepRunner, database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        # Autovacuum may have counted the rows while there were none.
        connection.execute("VACUUM ANALYZE")
    rows = [_row(at, f"a pink pig, number {at}") for at in range(200_000)]
    written = _enqueue(runner, rows)
    assert (written.new, written.known) == (200_000, 0)
    again = _enqueue(runner, rows[1:])
    assert (again.new, again.known, list(again.vanished)) == (0, 199_999, [(0, "a pink pig, number 0")])
    assert sum(runner.books.counts(written.batch_id).values()) == 200_000
