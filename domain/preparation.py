"""What is known of a generation before its picture is asked for, and what one stage adds to that.

A stage reads a `Known` and returns an `Added`; the record of it goes into the generation's `pipeline_data`, so that
what is known can be put together again from the row alone. The stages are listed in `pipeline.preparing.stages`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from domain.access import LOCAL_TEAM
from domain.ids import BatchId, CharacterId, GenerationId

#: Keys of `pipeline_data`: what was wished for, the records of the stages, and when the last of them was over.
WISHES: Final = "prepare"
STAGES: Final = "stages"
PREPARED_AT: Final = "prepared_at"


class Place(StrEnum):
    """What a stage needs of the process that runs it."""

    ANY = "any"  # a moment of CPU
    IO = "io"  # calls a service, and may wait for it
    GPU = "gpu"  # embeds with the model that is loaded there


class StageOutcome(StrEnum):
    """How a stage ended."""

    DONE = "done"
    OFF = "off"  # switched off, or nothing for it to do
    FELL_BACK = "fell_back"  # the way that was asked for failed, as `detail` says; another one did the work


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A generation on its way to its prompt.

    Args:
        team: whose personas and results count.
        wishes: what the order says of the stages; each reads the key of its own name.
        original: the words of a person, or None where there is only a picture or a specification.
        prompt: what would be sent now; None while nobody has written anything.
        candidates: prompts to choose from, the best first.
        negative: what the picture must not show.
        spec: the specification, as `domain.garments` writes it.
        stages: how many stages are recorded.
    """

    generation_id: GenerationId
    batch_id: BatchId
    user_id: str
    position: int
    team: str = LOCAL_TEAM
    character_ids: Sequence[CharacterId] = ()
    wishes: Mapping[str, Any]
    original: str | None
    prompt: str | None
    candidates: Sequence[str] = ()
    negative: str | None = None
    spec: Mapping[str, Any] | None = None
    provider: str
    model: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    stages: int = 0

    def having(self, added: Mapping[str, Any]) -> "Known":
        """The same after a stage that added this, as its record keeps it."""
        changes = {name: value for name, value in added.items() if value is not None}
        if "settings" in changes:
            merged = {**self.settings, **changes["settings"]}
            changes["settings"] = {name: value for name, value in merged.items() if value is not None}
        return replace(self, **changes, stages=self.stages + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """What a stage adds; None leaves what was known.

    Args:
        settings: laid over those that there are; None as a value takes one away.
        inputs: what the stage went by, for the record.
        detail: what it found, for the record: scores, versions, why it fell back.
        cost_usd: what it was charged.
    """

    outcome: StageOutcome = StageOutcome.DONE
    prompt: str | None = None
    candidates: Sequence[str] | None = None
    negative: str | None = None
    spec: Mapping[str, Any] | None = None
    provider: str | None = None
    model: str | None = None
    settings: Mapping[str, Any] | None = None
    inputs: Mapping[str, Any] = field(default_factory=dict)
    detail: Mapping[str, Any] = field(default_factory=dict)
    cost_usd: Decimal = Decimal(0)

    def record(self, name: str, *, started_at: datetime, took_s: float) -> dict[str, Any]:
        """The stage as `pipeline_data` keeps it."""
        given = ((key, getattr(self, key)) for key in _ADDED)
        return {
            "name": name,
            "outcome": self.outcome.value,
            "started_at": started_at.isoformat(),
            "took_ms": round(took_s * 1000, 1),
            "cost_usd": str(self.cost_usd),
            "inputs": dict(self.inputs),
            "added": {key: value for key, value in given if value is not None},
            "detail": dict(self.detail),
        }


_ADDED: Final = ("prompt", "candidates", "negative", "spec", "provider", "model", "settings")

#: A stage that is switched off.
OFF: Final = Added(outcome=StageOutcome.OFF)


def known_of(row: Mapping[str, Any]) -> Known:
    """What is known by a row of `generations`, with the team of its batch: its wishes and what stages have added."""
    data = row["pipeline_data"]
    wishes = data.get(WISHES, {})
    ids: Sequence[UUID] = [one for one in (row["character_id"], *row["further_character_ids"]) if one is not None]
    known = Known(
        generation_id=row["id"],
        batch_id=row["batch_id"],
        user_id=row["user_id"],
        position=row["position"],
        team=row["team"],
        character_ids=[CharacterId(one) for one in ids],
        wishes=wishes,
        original=wishes.get("prompt"),
        prompt=wishes.get("prompt"),
        negative=wishes.get("negative") or row["settings"].get("negative_prompt"),
        provider=row["provider"],
        model=row["model"],
        settings=row["settings"],
    )
    for record in data.get(STAGES, ()):
        known = known.having(record["added"])
    return known
