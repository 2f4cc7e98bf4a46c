"""An attempt together with what its generation says: what a step works on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, exists, func, or_, select

from db.schema import attempts, generations
from db.schema_finishing import finishings
from domain.escalation import merged
from domain.ids import AttemptId, BatchId, CharacterId, GenerationId, LeaseToken
from domain.states import AttemptKind, AttemptState, HoldState


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to work on rows until it runs out.

    Args:
        token: drawn anew for every claim; a result is written only while the row still carries it.
        holder: who holds it, for people: host, process, thread.
        seconds: from the claim, by the clock of Postgres.
    """

    token: LeaseToken
    holder: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One attempt as it stood when it was claimed or locked.

    Args:
        settings: of the generation, with this try's changes over them.
        changes: what this try asks for instead of what its generation's settings say.
        cancel_requested: a person gave up the generation, or the wish to finish its picture that the attempt is about.
    """

    attempt_id: AttemptId
    generation_id: GenerationId
    batch_id: BatchId
    user_id: str
    character_id: CharacterId | None
    further_character_ids: Sequence[CharacterId]
    lane: str
    provider: str
    model: str
    kind: AttemptKind
    prompt: str
    settings: Mapping[str, Any]
    changes: Mapping[str, Any]
    state: AttemptState
    number: int
    token: str
    job_id: str | None
    sent_prompt: str | None
    hold_usd: Decimal
    hold_state: HoldState
    price_usd: Decimal
    step_tries: int
    deaths: int
    tries: int
    result: Mapping[str, Any]
    intent_at: datetime | None
    accepted_at: datetime | None
    deadline_at: datetime | None
    cancel_requested: bool
    stop_asked_at: datetime | None

    @property
    def tries_since_verdict(self) -> int:
        """The generation's tries without those that a rejection ended; what failed and cost nothing is among them."""
        if self.kind is AttemptKind.FINISH:
            return int(self.changes.get("failed", 0)) + 1
        return self.tries - int(self.changes.get("since", 0))

    @property
    def character_ids(self) -> Sequence[CharacterId]:
        """Whom its pictures must show, all of them; empty where nothing is checked."""
        return () if self.character_id is None else (self.character_id, *self.further_character_ids)


def finish_given_up() -> ColumnElement[bool]:
    """Whether a person gave up the wish to finish a picture that the attempt is about."""
    wish = exists().where(finishings.c.attempt_id == attempts.c.id, finishings.c.cancel_requested_at.is_not(None))
    return and_(attempts.c.kind == AttemptKind.FINISH, wish)


COLUMNS = (
    attempts.c.id.label("attempt_id"),
    attempts.c.generation_id,
    attempts.c.batch_id,
    generations.c.user_id,
    generations.c.character_id,
    generations.c.further_character_ids,
    attempts.c.lane,
    attempts.c.provider,
    attempts.c.model,
    attempts.c.kind,
    generations.c.prompt,
    generations.c.settings,
    attempts.c.changes,
    attempts.c.state,
    attempts.c.number,
    attempts.c.token,
    attempts.c.job_id,
    attempts.c.sent_prompt,
    attempts.c.hold_usd,
    attempts.c.hold_state,
    func.coalesce(attempts.c.price_usd, generations.c.price_usd).label("price_usd"),
    attempts.c.step_tries,
    attempts.c.deaths,
    generations.c.tries,
    attempts.c.result,
    attempts.c.intent_at,
    attempts.c.accepted_at,
    attempts.c.deadline_at,
    or_(generations.c.cancel_requested_at.is_not(None), finish_given_up()).label("cancel_requested"),
    attempts.c.stop_asked_at,
)

_NAMES = frozenset(Work.__dataclass_fields__)


def select_work() -> Select[Any]:
    """Attempts with their generations, in the shape of `Work`."""
    return select(*COLUMNS).join_from(attempts, generations, attempts.c.generation_id == generations.c.id)


def work_of(row: Row[Any]) -> Work:
    """`row` of `select_work` as a record."""
    # By name, and only those of the record: a statement may select more.
    fields = {str(name): value for name, value in row._mapping.items() if name in _NAMES}  # noqa: SLF001 -- documented
    fields["kind"] = AttemptKind(fields["kind"])
    fields["settings"] = merged(fields["settings"], fields["changes"])
    fields["state"] = AttemptState(fields["state"])
    fields["hold_state"] = HoldState(fields["hold_state"])
    return Work(**fields)
