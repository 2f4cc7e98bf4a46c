"""A generation as the page shows it: its pictures, what became of it in words, and what people said."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from domain.states import GenerationState
from pipeline.characters import threshold_origin
from pipeline.resources import Resources
from pipeline.views.generations import labels
from pipeline.views.report import line_of, shown_attempt
from pipeline.views.team import GenerationDetails
from reports.wording import dollars, duration_text, end_of, verdict

_WAITS = {
    GenerationState.QUEUED: "waits for a place",
    GenerationState.GENERATING: "is being made",
    GenerationState.COLLECTING: "is being fetched",
    GenerationState.VALIDATING: "is being checked",
    GenerationState.IN_DOUBT: "in doubt: the service is asked",
}
#: Where the size of a picture is not known: the page reserves a square.
_SIDE = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class CardPicture:
    """A stored picture on a card."""

    id: str
    label: str
    width: int
    height: int
    alt: str
    caption: str
    passed: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One generation on the page.

    Args:
        pictures: of the attempt that stands for it; its best one first.
        missing: what is said where there is none.
        core, style: of the best picture, by the character that is met least well; None where nothing was checked.
        said: kinds of feedback that the visitor gave.
        rating: the visitor's last one, or 0.
    """

    id: str
    position: int
    end: str
    state: str
    heading: str
    theme: str
    prompt: str
    verdict: str
    missing: str
    pictures: Sequence[CardPicture]
    core: float | None
    core_threshold: float | None
    style: float | None
    style_threshold: float | None
    style_decides: bool
    facts: Sequence[str]
    said: frozenset[str]
    rating: int


def card_of(resources: Resources, details: GenerationDetails, *, user_id: str) -> Card:
    """A card for whoever `user_id` is."""
    row, line = details.generation, line_of(resources, details)
    state = GenerationState(row["state"])
    stored = [
        one for one in details.assets if one["attempt_id"] == shown_attempt(details) and one["r2_key"] is not None
    ]
    stored.sort(key=lambda one: (not one["best"], one["position"]))
    judged = _verdict(details, stored[0]) if stored else {}
    mine = [one for one in details.feedback if one["user_id"] == user_id]
    made = " by ".join(filter(None, [row["model"], row["provider"]]))
    duration = None if line.duration_s is None else duration_text(line.duration_s)
    missing = next((one["missing_reason"] for one in details.assets if one["missing_reason"]), None)
    return Card(
        id=str(row["id"]),
        position=row["position"],
        end=end_of(state),
        state=state.value.replace("_", " "),
        heading=" · ".join(filter(None, [row["theme"], row["variation"]])) or f"Prompt {row['position'] + 1}",
        theme=row["theme"] or "",
        prompt=row["prompt"],
        verdict=verdict(line),
        missing=missing or _WAITS.get(state, "no picture"),
        pictures=[_picture(details, one) for one in stored],
        core=judged.get("core"),
        core_threshold=judged.get("core_threshold"),
        style=judged.get("style"),
        style_threshold=judged.get("style_threshold"),
        style_decides=bool(judged.get("style_decides", True)),
        facts=list(filter(None, [dollars(row["cost"]), duration, made])),
        said=frozenset(one["feedback_type"] for one in mine),
        rating=next((one["rating"] for one in reversed(mine) if one["rating"]), 0),
    )


def _verdict(details: GenerationDetails, asset: dict[str, Any]) -> dict[str, Any]:
    # With several characters the one that is met least well: the picture passes when that one does.
    return min(details.verdicts.get(asset["id"], []), key=threshold_origin.margin, default=None) or {}


def _picture(details: GenerationDetails, asset: dict[str, Any]) -> CardPicture:
    judged = _verdict(details, asset)
    label = labels(details)[asset["id"]]
    scores = [f"{name} {judged[name]:.2f}" for name in ("core", "style") if judged]
    said = {True: "passes", False: "does not pass", None: ""}[judged.get("passed")]
    caption = ", ".join(filter(None, [f"Picture {label}", *scores, said]))
    return CardPicture(
        id=str(asset["id"]),
        label=label,
        width=asset["width"] or _SIDE,
        height=asset["height"] or _SIDE,
        alt=f"{caption}; row {details.generation['position']}",
        caption=caption,
        passed=judged.get("passed"),
    )
