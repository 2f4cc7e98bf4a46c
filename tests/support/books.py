"""Batches, generations and attempts for tests of the books: written with the product's own statements.

`Books.check` holds the invariants of every row whatever a test did; the fixtures call it after each test.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from itertools import count
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, select, text, update

from db.incoming.copy_lines import line_of, shared_columns
from db.incoming.laid_out import LaidOut
from db.incoming.repeats import Repeats
from db.moves import admission, collection, polling, submission, validation
from db.moves.admission import Admitted
from db.moves.collection import NewAsset
from db.reads import generations as reading
from db.reads.work import Lease
from db.records import batches, lanes
from db.records.characters import NewThresholds, ReferenceRow
from db.records.characters import put as put_character
from db.schema import attempts, generations, ledger_entries
from db.schema import batches as batch_table
from db.session import Database
from domain.ids import AttemptId, BatchId, CharacterId, GenerationId, LeaseToken, row_identity, sha256
from domain.states import FINAL, AttemptKind, AttemptState, GenerationState

USER = "user-1"
HOLD = Decimal("0.40")
PRICE = Decimal("0.02")
A_MINUTE = timedelta(minutes=1)
NOW = timedelta(0)
JOB = "job-"

_names = count(1)


def lease(*, seconds: float = 30.0) -> Lease:
    return Lease(token=LeaseToken(uuid4()), holder="test", seconds=seconds)


def asset(position: int = 0, **fields: Any) -> NewAsset:
    """A stored picture, or a missing one where `missing_reason` is named."""
    if "missing_reason" in fields:
        return NewAsset(position=position, metadata={}, **fields)
    return NewAsset(position=position, r2_key=f"pictures/{uuid4()}", sha256=uuid4().hex, metadata={}, **fields)


def line(
    position: int,
    *,
    hold: Decimal = HOLD,
    price: Decimal = PRICE,
    provider: str = "sandbox",
    character: CharacterId | None = None,
    settings: Mapping[str, Any] | None = None,
) -> str:
    """One row on its way into a batch."""
    prompt = f"prompt {position}"
    return line_of(
        identity=row_identity(prompt, {"provider": provider}),
        position=position,
        prompt=prompt,
        theme=None,
        variation=None,
        pipeline_data=None,
        shared=shared_columns(
            character_ids=[] if character is None else [character],
            provider=provider,
            model="midjourney",
            settings=dict(settings or {}),
            try_policy={},
            hold_usd=hold,
            price_usd=price,
        ),
    )


def add_lines(connection: Connection, batch_id: BatchId, lines: Sequence[str]) -> int:
    """Put rows into a batch as enqueuing more of it does; returns how many are new."""
    return LaidOut(connection, batch_id, user_id=USER, lines=lines, repeats=Repeats()).insert()


@dataclass(slots=True)
class Books:
    """A database under test, and short ways to bring an attempt anywhere."""

    database: Database

    def lane(
        self, name: str = "sandbox", *, provider: str = "sandbox", concurrency: int = 10, rate: str | None = None
    ) -> None:
        with self.database.transaction() as connection:
            lanes.ensure(connection, name=name, provider=provider, rate_limit=rate, concurrency=concurrency)

    def character(self, name: str = "lulu", *, core: float = 0.75, style: float = 0.6) -> CharacterId:
        reference = ReferenceRow(
            position=0,
            sha256=sha256(name.encode()),
            r2_key=f"references/{name}",
            media_type="image/png",
            width=64,
            height=64,
        )
        with self.database.transaction() as connection:
            return put_character(
                connection,
                name=name,
                description="",
                references=[reference],
                thresholds=NewThresholds(core=core, style=style, origin="default"),
            )

    def batch(
        self,
        prompts: int = 1,
        *,
        name: str | None = None,
        limit: str | Decimal | None = None,
        hold: Decimal = HOLD,
        price: Decimal = PRICE,
        provider: str = "sandbox",
        priority: int = 1,
        character: CharacterId | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> BatchId:
        """A batch of that many prompts; adding to a known name adds prompts behind those it has."""
        with self.database.transaction() as connection:
            new = batches.NewBatch(
                name=name or f"batch {next(_names)}",
                user_id=USER,
                priority=priority,
                limit_usd=None if limit is None else Decimal(limit),
            )
            batch_id, made = batches.open_batch(connection, new)
            if made and character is not None:
                connection.execute(
                    update(batch_table).where(batch_table.c.id == batch_id).values(character_id=character)
                )
            known = len(self._ids(connection, batch_id))
            lines = [
                line(position, hold=hold, price=price, provider=provider, character=character, settings=settings)
                for position in range(known, known + prompts)
            ]
            add_lines(connection, batch_id, lines)
            batches.amend(connection, batch_id, priority=None, limit_usd=None if limit is None else Decimal(limit))
        return batch_id

    @staticmethod
    def _ids(connection: Any, batch_id: BatchId) -> list[Any]:
        return list(
            connection.execute(
                select(generations.c.id).where(generations.c.batch_id == batch_id).order_by(generations.c.position)
            ).scalars()
        )

    def admit(
        self, provider: str = "sandbox", *, places: Mapping[str, int] | None = None, most_at_risk: int | None = None
    ) -> list[Admitted]:
        with self.database.transaction() as connection:
            return admission.admit(connection, provider, places_by_rate=dict(places or {}), most_at_risk=most_at_risk)

    def admitted(self, **batch: Any) -> AttemptId:
        """The one attempt of a new batch of one prompt."""
        self.lane()
        self.batch(**batch)
        (one,) = self.admit()
        return one.attempt_id

    def submitting(self, held: Lease | None = None, **batch: Any) -> tuple[AttemptId, LeaseToken]:
        attempt_id = self.admitted(**batch)
        return attempt_id, self.claim(attempt_id, held)

    def claim(self, attempt_id: AttemptId, held: Lease | None = None) -> LeaseToken:
        held = held or lease()
        with self.database.transaction() as connection:
            submission.claim(connection, attempt_id, lease=held, sent_prompt="as sent")
        return held.token

    def accept(self, attempt_id: AttemptId, token: LeaseToken, *, job_id: str | None = None) -> None:
        with self.database.transaction() as connection:
            submission.accepted(
                connection,
                attempt_id,
                token=token,
                job_id=job_id or f"{JOB}{attempt_id}",
                first_look=NOW,
                deadline=A_MINUTE,
            )

    def generating(self, **batch: Any) -> AttemptId:
        attempt_id, token = self.submitting(**batch)
        self.accept(attempt_id, token)
        return attempt_id

    def polled(self, attempt_id: AttemptId) -> LeaseToken:
        """A lease on the attempt, as a sweep takes it."""
        held = lease()
        with self.database.transaction() as connection:
            works = polling.claim_due(connection, "sandbox", limit=1000, lease=held)
        assert attempt_id in {work.attempt_id for work in works}
        return held.token

    def make(self, attempt_id: AttemptId, token: LeaseToken, *, charged: Decimal = PRICE) -> None:
        with self.database.transaction() as connection:
            polling.made(
                connection,
                attempt_id,
                token=token,
                result={"picture_urls": ["http://127.0.0.1:9/0.png"]},
                charged_usd=charged,
                said_by="said by the provider",
            )

    def collecting(self, *, charged: Decimal = PRICE, **batch: Any) -> AttemptId:
        attempt_id = self.generating(**batch)
        self.make(attempt_id, self.polled(attempt_id), charged=charged)
        return attempt_id

    def claim_collection(self, attempt_id: AttemptId, held: Lease | None = None) -> LeaseToken:
        held = held or lease()
        with self.database.transaction() as connection:
            assert collection.claim(connection, attempt_id, lease=held) is not None
        return held.token

    def collect(self, attempt_id: AttemptId, token: LeaseToken, *assets: NewAsset) -> GenerationState:
        with self.database.transaction() as connection:
            return collection.collected(connection, attempt_id, token=token, assets=assets or [asset()])

    def validating(self, **batch: Any) -> tuple[AttemptId, CharacterId]:
        character = self.character(f"character {next(_names)}")
        attempt_id = self.collecting(character=character, **batch)
        reached = self.collect(attempt_id, self.claim_collection(attempt_id))
        assert reached is GenerationState.VALIDATING
        return attempt_id, character

    def claim_validation(self, attempt_id: AttemptId, held: Lease | None = None) -> LeaseToken:
        held = held or lease()
        with self.database.transaction() as connection:
            assert validation.claim(connection, attempt_id, lease=held) is not None
        return held.token

    def attempt(self, attempt_id: AttemptId) -> Any:
        with self.database.transaction() as connection:
            return connection.execute(select(attempts).where(attempts.c.id == attempt_id)).one()

    def generation_of(self, attempt_id: AttemptId) -> Any:
        with self.database.transaction() as connection:
            return connection.execute(
                select(generations)
                .join(attempts, attempts.c.generation_id == generations.c.id)
                .where(attempts.c.id == attempt_id)
            ).one()

    def generation(self, generation_id: GenerationId) -> Any:
        with self.database.transaction() as connection:
            return connection.execute(select(generations).where(generations.c.id == generation_id)).one()

    def row(self, batch_id: BatchId) -> Any:
        with self.database.transaction() as connection:
            return connection.execute(select(batch_table).where(batch_table.c.id == batch_id)).one()

    def rows(self, table: Any) -> list[Any]:
        with self.database.transaction() as connection:
            return list(connection.execute(select(table).order_by(*table.primary_key.columns)).all())

    def counts(self, batch_id: BatchId) -> dict[str, int]:
        """How many generations of the batch stand where; only states with some."""
        with self.database.transaction() as connection:
            return {state: n for state, n in reading.progress(connection, batch_id).counts.items() if n}

    def live(self) -> list[Any]:
        return [row for row in self.rows(attempts) if row.state != AttemptState.FINISHED]

    def lapse(self, *, seconds: float = 3600) -> None:
        """Every lease ran out this long ago."""
        self.sql(
            "UPDATE attempts SET lease_until = now() - make_interval(secs => :secs) WHERE lease_until IS NOT NULL",
            secs=seconds,
        )

    def sql(self, statement: str, **values: Any) -> None:
        with self.database.transaction() as connection:
            connection.execute(text(statement), values)

    def check(self) -> None:
        """What must hold of the rows at any moment, whatever happened."""
        with self.database.transaction() as connection:
            assert reading.books_disagree(connection) == []
            every = connection.execute(
                select(attempts, generations.c.state.label("word"), generations.c.cost.label("generation_cost")).join(
                    generations, generations.c.id == attempts.c.generation_id
                )
            ).all()
            lines = connection.execute(select(ledger_entries)).all()
            states = dict(connection.execute(select(generations.c.id, generations.c.state)).all())
            costs = dict(connection.execute(select(generations.c.id, generations.c.cost)).all())
            spent = connection.execute(select(batch_table)).all()
        _check_words(every, states)
        _check_costs(every, costs, lines)
        _check_limits(every, spent)


def _check_words(every: Sequence[Any], states: Mapping[Any, str]) -> None:
    live: dict[Any, str] = {}
    for row in every:
        if row.state == AttemptState.FINISHED:
            assert row.hold_state in {"charged", "released"}
            assert row.lease_token is None
            continue
        if row.kind != AttemptKind.IMAGE:
            continue
        assert row.generation_id not in live, "one live attempt per generation"
        live[row.generation_id] = row.state
    resting = {*FINAL, GenerationState.QUEUED, GenerationState.PREPARING}
    for generation_id, state in states.items():
        if generation_id in live:
            assert live[generation_id] == state, "a live attempt and its generation carry the same word"
        else:
            assert state in resting, f"a generation without a live attempt is {state}"


def _check_costs(every: Sequence[Any], costs: Mapping[Any, Decimal], lines: Sequence[Any]) -> None:
    charged: dict[Any, Decimal] = dict.fromkeys(costs, Decimal(0))
    for row in every:
        charged[row.generation_id] += row.charged_usd or Decimal(0)
    assert charged == dict(costs)
    balance: dict[Any, list[Decimal]] = {row.id: [Decimal(0)] * 3 for row in every}
    for line in lines:
        for place, amount in enumerate((line.held_usd, line.in_doubt_usd, line.charged_usd)):
            balance[line.attempt_id][place] += amount
    for row in every:
        expected = {
            "held": [row.hold_usd, Decimal(0), Decimal(0)],
            "in_doubt": [Decimal(0), row.hold_usd, Decimal(0)],
            "charged": [Decimal(0), Decimal(0), row.charged_usd],
            "released": [Decimal(0)] * 3,
        }
        assert balance[row.id] == expected[row.hold_state], f"the ledger of attempt {row.id} ({row.hold_state})"


def _check_limits(every: Sequence[Any], spent: Sequence[Any]) -> None:
    above: dict[Any, Decimal] = {}
    for row in every:
        if row.found_late_at is not None:
            above[row.batch_id] = above.get(row.batch_id, Decimal(0)) + row.hold_usd
        if row.charged_usd is not None and row.charged_usd > row.hold_usd:
            above[row.batch_id] = above.get(row.batch_id, Decimal(0)) + row.charged_usd - row.hold_usd
    for batch in spent:
        if batch.limit_usd is not None and "lowered" not in batch.name:
            used = batch.charged_usd + batch.held_usd + batch.in_doubt_usd
            assert used <= batch.limit_usd + above.get(batch.id, Decimal(0)), batch.name


@contextmanager
def books_of(database: Database) -> Iterator[Books]:
    """The books of a test; they are right at its end."""
    books = Books(database)
    yield books
    books.check()
