"""Group a generation's attempts, verdicts and history into tries."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from db.reads.generations import GenerationDetails
from domain.escalation import CLOSED_LOOP
from domain.states import AttemptKind, GenerationState, Outcome
from reports.records import TryLine

Row = Mapping[str, Any]

#: Names of the closed loop's steps, under which tries are counted over a batch.
_KINDS = {"references": "more references", "action": "a variation", "model": "another model"}


def tries_of(details: GenerationDetails) -> list[TryLine]:
    """One line per try that has begun or waits; empty before the first submission.

    A try ends with a verdict, or with its generation. Attempts that were given back or failed before the verdict belong
    to it, with their cost.
    """
    lines: list[TryLine] = []
    group: list[Row] = []
    asked: Row | None = None
    for attempt in details.attempts:
        if attempt["kind"] != AttemptKind.IMAGE:
            continue
        group.append(attempt)
        if attempt["outcome"] in {Outcome.REJECTED, Outcome.COMPLETED}:
            lines.append(_line(details, group, asked, number=len(lines) + 1))
            asked = _asked_after(details, attempt)
            group = []
    if group:
        lines.append(_line(details, group, asked, number=len(lines) + 1))
    elif lines and asked is not None and details.generation["state"] == GenerationState.QUEUED:
        changed, kind = _named(asked)
        hold = details.generation["hold_usd"]
        lines.append(TryLine(number=len(lines) + 1, changed=changed, kind=kind, waits_for_usd=hold))
    return lines


def _line(details: GenerationDetails, group: Sequence[Row], asked: Row | None, *, number: int) -> TryLine:
    last = group[-1]
    core, style = _best_scores(details, {one["id"] for one in group})
    ended = last["outcome"] not in {None, Outcome.GIVEN_BACK}
    failed = None if core is not None or not ended else f"it came to nothing ({last['error_code'] or last['outcome']})"
    changed, kind = _named(asked)
    return TryLine(
        number=number,
        changed=changed,
        kind=kind,
        core=core,
        style=style,
        accepted=last["outcome"] == Outcome.COMPLETED and core is not None,
        cost_usd=sum((one["charged_usd"] or Decimal(0) for one in group), Decimal(0)),
        failed=failed,
    )


def _best_scores(details: GenerationDetails, attempt_ids: set[Any]) -> tuple[float | None, float | None]:
    """Scores of the best picture of these attempts; with several characters, its lowest."""
    judged = [
        (
            all(one["passed"] for one in verdicts),
            min(one["core"] for one in verdicts),
            min(one["style"] for one in verdicts),
        )
        for asset in details.assets
        if asset["attempt_id"] in attempt_ids and (verdicts := details.verdicts.get(asset["id"]))
    ]
    if not judged:
        return None, None
    _, core, style = max(judged)
    return core, style


def _asked_after(details: GenerationDetails, attempt: Row) -> Row | None:
    """The history row that asked for another try after this attempt: the first one about it."""
    return next(
        (
            one
            for one in details.history
            if one["to_state"] == GenerationState.QUEUED and one["at"] >= attempt["finished_at"]
        ),
        None,
    )


def _named(asked: Row | None) -> tuple[str | None, str | None]:
    """The change that a history row asked for, and the name it is counted under."""
    if asked is None or asked["actor"] != CLOSED_LOOP:
        return None, None
    detail = asked["detail"]
    says: str | None = detail.get("says")
    return says, _KINDS.get(detail.get("step", ""), says)
