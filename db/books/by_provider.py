"""The read side of a batch, provider by provider: what became of its generations there, and what they cost."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, func, select

from db.schema import attempts, generations, provider_events
from domain.ids import BatchId
from domain.states import FINAL, GenerationState, HoldState

_SUMS: Final = ("jobs", "charged_usd", "held_usd", "in_doubt_usd")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderBooks:
    """One provider's part of a batch.

    Args:
        counts: generations by state; states without any are absent.
        failures: failed generations by their typed reason.
        jobs: attempts of which the provider's name for the job, or for the call, is known.
        called_back: events of the provider's webhooks that were proven to be its own.
    """

    provider: str
    counts: Mapping[str, int] = field(default_factory=dict)
    failures: Mapping[str, int] = field(default_factory=dict)
    jobs: int = 0
    called_back: int = 0
    charged_usd: Decimal = Decimal(0)
    held_usd: Decimal = Decimal(0)
    in_doubt_usd: Decimal = Decimal(0)

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def in_doubt(self) -> int:
        return self.counts.get(GenerationState.IN_DOUBT, 0)

    @property
    def unfinished(self) -> int:
        """Generations that are not final, doubts among them."""
        return self.total - sum(self.counts.get(state, 0) for state in FINAL)


def by_provider(connection: Connection, batch_id: BatchId) -> list[ProviderBooks]:
    """The parts of a batch, by the provider's name."""
    counts: dict[str, dict[str, int]] = {}
    failures: dict[str, dict[str, int]] = {}
    standing = (
        select(generations.c.provider, generations.c.state, generations.c.error_code, func.count())
        .where(generations.c.batch_id == batch_id)
        .group_by(generations.c.provider, generations.c.state, generations.c.error_code)
    )
    for provider, state, code, number in connection.execute(standing):
        states = counts.setdefault(provider, {})
        states[state] = states.get(state, 0) + number
        if state == GenerationState.FAILED:
            failures.setdefault(provider, {})[code or "unknown"] = number
    money, called_back = _money(connection, batch_id), _called_back(connection, batch_id)
    return [
        ProviderBooks(
            provider=provider,
            counts=counts[provider],
            failures=failures.get(provider, {}),
            called_back=called_back.get(provider, 0),
            **money.get(provider, {}),
        )
        for provider in sorted(counts)
    ]


def _called_back(connection: Connection, batch_id: BatchId) -> dict[str, int]:
    events = (
        select(attempts.c.provider, func.count())
        .join_from(provider_events, attempts, attempts.c.id == provider_events.c.attempt_id)
        .where(attempts.c.batch_id == batch_id)
        .group_by(attempts.c.provider)
    )
    return {str(provider): number for provider, number in connection.execute(events)}


def _money(connection: Connection, batch_id: BatchId) -> dict[str, dict[str, Any]]:
    def held(state: HoldState) -> ColumnElement[Decimal]:
        return func.coalesce(func.sum(attempts.c.hold_usd).filter(attempts.c.hold_state == state), 0)

    sums = select(
        attempts.c.provider,
        func.count(attempts.c.job_id).label("jobs"),
        func.coalesce(func.sum(attempts.c.charged_usd), 0).label("charged_usd"),
        held(HoldState.HELD).label("held_usd"),
        held(HoldState.IN_DOUBT).label("in_doubt_usd"),
    )
    rows = connection.execute(sums.where(attempts.c.batch_id == batch_id).group_by(attempts.c.provider)).mappings()
    return {str(row["provider"]): {name: row[name] for name in _SUMS} for row in rows}
