"""The stages of a generation as people are told of them: those before the picture, and those of its attempts."""

from datetime import datetime
from typing import Any

from domain.money import ZERO, show
from domain.preparation import STAGES
from domain.states import AttemptKind
from pipeline.views.generations import GenerationDetails

#: From when to when each stage of an attempt lasts, by the columns of its row.
_OF_ATTEMPTS = (
    ("generation", "intent_at", "made_at"),
    ("storage", "made_at", "stored_at"),
    ("validation", "stored_at", "finished_at"),
)
_PAID = frozenset({"generation", "finishing"})


def stages_of(details: GenerationDetails) -> list[dict[str, Any]]:
    """Each with its name, outcome, start, milliseconds and cost, in the order in which they ran."""
    told = [
        {key: value for key, value in record.items() if key != "added"} | {"added": record.get("added", {})}
        for record in details.generation["pipeline_data"].get(STAGES, ())
    ]
    for attempt in details.attempts:
        if attempt["kind"] == AttemptKind.IMAGE:
            told += _of_attempt(attempt, checked=details.generation["character_id"] is not None)
        elif attempt["kind"] == AttemptKind.FINISH and attempt["intent_at"] is not None:
            told.append(_stage(attempt, "finishing", "intent_at", "finished_at"))
    return told


def seconds_by_stage(details: GenerationDetails) -> dict[str, float]:
    """Seconds of each stage that has ended, all its runs together, with the waiting before the first attempt."""
    seconds: dict[str, float] = {}
    begun = min((one["intent_at"] for one in details.attempts if one["intent_at"] is not None), default=None)
    if begun is not None:
        seconds["waiting"] = max((begun - details.generation["created_at"]).total_seconds(), 0.0)
    for stage in stages_of(details):
        if stage.get("took_ms") is not None:
            seconds[stage["name"]] = seconds.get(stage["name"], 0.0) + stage["took_ms"] / 1000
    return seconds


def _of_attempt(attempt: dict[str, Any], *, checked: bool) -> list[dict[str, Any]]:
    told = []
    for name, begin, end in _OF_ATTEMPTS:
        if attempt[begin] is None or (name == "validation" and not checked):
            continue
        told.append(_stage(attempt, name, begin, end))
    return told


def _stage(attempt: dict[str, Any], name: str, begin: str, end: str) -> dict[str, Any]:
    lasted = _ms(attempt[begin], attempt[end])
    return {
        "name": name,
        "outcome": "running" if lasted is None else "done",
        "started_at": attempt[begin].isoformat(),
        "took_ms": lasted,
        "cost_usd": show(attempt["charged_usd"] or ZERO) if name in _PAID else "0",
        "inputs": {"provider": attempt["provider"], "model": attempt["model"], "try": attempt["number"]},
    }


def _ms(begin: datetime, end: datetime | None) -> float | None:
    return None if end is None else round((end - begin).total_seconds() * 1000, 1)
