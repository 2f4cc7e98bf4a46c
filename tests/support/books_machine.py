"""A machine of hypothesis over the real books: what every rule shares, what must hold, and an honest end."""

from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from functools import partial
from itertools import count
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
)
from sqlalchemy import select

from db.moves import (
    by_person,
    doubts,
    polling,
    rescue,
    validation,
)
from db.records import closed_loop
from db.schema import attempts, generations, ledger_entries
from db.schema import batches as batch_table
from domain.errors import LostRace, ScorerError
from domain.ids import BatchId, CharacterId
from domain.states import FINAL, LIVE, GenerationState
from tests.support.books import NOW, Books, lease

LIMIT = Decimal("1.70")
_numbers = count(1)

Write = Callable[[Any], object]


class BooksMachine(RuleBasedStateMachine):
    """Two batches on a lane with five places; the second one has a character, and a budget for four holds.

    After each rule of a subclass the invariants of every row are checked, and at the end an honest worker finishes all.
    """

    books: ClassVar[Books]

    def __init__(self) -> None:
        super().__init__()
        self.lane = f"lane-{next(_numbers)}"
        self.writes: list[Write] = []
        self.batches: list[BatchId] = []
        self.character: CharacterId | None = None
        self.used: dict[BatchId, Decimal] = {}
        self.excess = Decimal(0)

    @initialize()
    def enqueue(self) -> None:
        self.books.lane(self.lane, provider=self.lane, concurrency=5)
        self.character = self.books.character(f"of {self.lane}")
        self.batches = [
            self.books.batch(3, provider=self.lane, name=f"free {self.lane}"),
            self.books.batch(5, provider=self.lane, limit=LIMIT, character=self.character, name=f"lowered {self.lane}"),
        ]
        self.used = dict.fromkeys(self.batches, Decimal(0))

    # What the rules share

    def _attempts(self, *states: str) -> list[Any]:
        with self.books.database.transaction() as connection:
            wanted = attempts.c.lane == self.lane, attempts.c.state.in_(states)
            return list(connection.execute(select(attempts).where(*wanted).order_by(attempts.c.id)).all())

    def _one(self, data: st.DataObject, *states: str) -> Any | None:
        found = self._attempts(*states)
        return data.draw(st.sampled_from(found)) if found else None

    def _do(self, write: Write, *, again: bool = True) -> None:
        """Carry out a write in a transaction of its own; a lost race is an ordinary answer."""
        with suppress(LostRace), self.books.database.transaction() as connection:
            write(connection)
            if again:
                self.writes.append(write)

    def _rows(self) -> list[Any]:
        with self.books.database.transaction() as connection:
            return [
                connection.execute(select(table).order_by(table.c.id)).all()
                for table in (attempts, generations, batch_table, ledger_entries)
            ]

    def _rescue(self) -> None:
        self._do(lambda c: rescue.doubt_the_silent(c, call_total=NOW), again=False)
        self._do(rescue.bury, again=False)
        self._do(by_person.cancel_admitted, again=False)
        self._do(lambda c: rescue.unclaimed(c, older_than=NOW), again=False)

    # What must hold

    @invariant()
    def books_are_right(self) -> None:
        self.books.check()

    @invariant()
    def nothing_is_paid_unasked(self) -> None:
        with self.books.database.transaction() as connection:
            assert closed_loop.paid_unasked(connection) == []

    @invariant()
    def money_grows_only_within_the_limit_or_by_a_charge_above_its_hold(self) -> None:
        busy = {row.batch_id for row in self._attempts(*sorted(LIVE))}
        for batch in self.batches:
            row = self.books.row(batch)
            used = row.charged_usd + row.held_usd + row.in_doubt_usd
            grown = used - self.used[batch]
            if row.limit_usd is not None and grown > 0:
                assert used <= row.limit_usd or grown <= self.excess
            assert row.stopped_reason is None or batch not in busy, "a stopped batch has nothing live"
            self.used[batch] = used
        self.excess = Decimal(0)

    def teardown(self) -> None:
        """Left to itself, everything comes to an end: no attempt is stuck, no hold is left."""
        if not self.batches:
            return
        for _ in range(30):
            self._drain()
            if not [row for row in self.books.live() if row.batch_id in self.batches]:
                break
        for batch in self.batches:
            counts = self.books.counts(batch)
            assert set(counts) <= {*FINAL, GenerationState.QUEUED}, counts
            row = self.books.row(batch)
            assert (row.held_usd, row.in_doubt_usd) == (0, 0)

    def _drain(self) -> None:
        """What an honest worker does with whatever it finds."""
        self.books.lapse()
        self._rescue()
        for row in self._attempts("admitted"):
            token = self.books.claim(row.id)
            self.books.accept(row.id, token, job_id=f"job {row.id}")
        for row in self._attempts("in_doubt"):
            self._do(partial(doubts.not_accepted, attempt_id=row.id, failure=doubts.NeverArrived("x")))
        held = lease()
        with self.books.database.transaction() as connection:
            works = polling.claim_due(connection, self.lane, limit=100, lease=held)
        for work in works:
            self.books.make(work.attempt_id, held.token)
        for row in self._attempts("collecting"):
            self.books.collect(row.id, self.books.claim_collection(row.id))
        for row in self._attempts("validating"):
            token = self.books.claim_validation(row.id)
            self._do(partial(validation.unfit, attempt_id=row.id, token=token, failure=ScorerError("x")))
