"""Format amounts, durations, thresholds and verdicts as text, for the page, the log and the terminal."""

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from domain import money
from domain.states import GenerationState
from domain.verdict import DEFAULT, Thresholds

if TYPE_CHECKING:  # an amount in words needs none of a report's records
    from reports.records import AssetLine, GenerationLine, Report

S = GenerationState

#: The end states of a generation, in the words of reports.
ENDS: dict[GenerationState, str] = {
    S.COMPLETED: "accepted",
    S.REJECTED: "rejected",
    S.FAILED: "failed",
    S.CANCELED: "canceled",
}


def end_of(state: GenerationState) -> str:
    """`accepted`, `rejected`, `failed`, `canceled`, or `unfinished`."""
    return ENDS.get(state, "unfinished")


def dollars(value: Decimal | None, *, places: int = 4) -> str:
    """An amount for reading, with two places, or up to `places` where cents are too coarse."""
    if value is None:
        return "–"
    shown = money.show(round(value, places)) or ""
    return f"-${shown[1:]}" if shown.startswith("-") else f"${shown}"


def duration_text(seconds: float | None) -> str:
    """A duration with the two units that matter, such as `1 min 42 s`."""
    if seconds is None:
        return "–"
    if 0 < seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3_600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(whole / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min"


def overdue(address: str, *, job: str, lane: str, age_s: float) -> str:
    """A job that takes too long, and what can be done."""
    return (
        f"{address} is overdue: job {job} on lane {lane} has run for {duration_text(age_s)}; it is still asked about,"
        " since it may be charged. Wait, look at the provider's own page, or `likeness cancel` its batch"
    )


def moment(at: datetime | None) -> str:
    """A date and time of day, such as `21 November 2026, 14:03 UTC`."""
    return "–" if at is None else f"{at.day} {at:%B %Y, %H:%M %Z}".rstrip()


def join_words(parts: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))


def thresholds_origin(thresholds: Thresholds) -> str:
    """The origin of thresholds, and whether style decides."""
    source, *further = thresholds.origin.split("; ")
    origin = "; ".join(["default threshold" if source == DEFAULT else source, *further])
    return origin if thresholds.style_decides else f"{origin}; style is advisory and decides nothing"


def describe_thresholds(thresholds: Thresholds) -> str:
    """The thresholds and their origin, as shown beside every score."""
    return f"core {thresholds.core:.3f}, style {thresholds.style:.3f}; {thresholds_origin(thresholds)}"


def outcome(report: "Report") -> str:
    """One sentence about the result of the batch, or its progress."""
    what = f"an accepted picture of {report.character}" if report.character else "an accepted picture"
    if report.total == 0:
        return "The batch is empty."
    if report.accepted == report.total:
        return f"{'All' if report.total > 1 else 'The'} {_prompts(report.total)} became {what}."
    count = dict.fromkeys(("rejected", "failed", "canceled", "unfinished"), 0)
    for state, number in report.counts.items():
        if state != S.COMPLETED:
            count[end_of(GenerationState(state))] += number
    verbs = {
        "rejected": ("was rejected", "were rejected"),
        "failed": ("failed", "failed"),
        "canceled": ("was canceled", "were canceled"),
        "unfinished": ("is not finished", "are not finished"),
    }
    parts = [f"{number:,} {verbs[end][number != 1]}" for end, number in count.items() if number]
    return f"{report.accepted:,} of {_prompts(report.total)} became {what}; {join_words(parts)}."


def verdict(generation: "GenerationLine") -> str:
    """The result of one generation in one or two sentences."""
    match end_of(generation.state):
        case "accepted":
            return _accepted(generation)
        case "rejected":
            return _rejected(generation)
        case "failed":
            return _sentence(generation.error_message or generation.error_code or "It ended without a picture")
        case "canceled":
            return _sentence(generation.error_message or "Canceled by a person")
    return f"Not finished: {generation.state.value.replace('_', ' ')}."


def _accepted(generation: "GenerationLine") -> str:
    best = generation.best
    if best is None or best.margin is None:
        return "Stored. Without a character there is nothing to check."
    return f"On model: {_distances(best)}.{_passing(generation)}"


def _rejected(generation: "GenerationLine") -> str:
    best = generation.best
    if best is None or best.margin is None:
        return "Rejected; its scores are not at hand."
    return f"Off model: {_distances(best)}.{_passing(generation)}"


def _distances(asset: "AssetLine") -> str:
    parts: list[str] = []
    for name, score, threshold, decides in (
        ("core", asset.core, asset.core_threshold, True),
        ("style", asset.style, asset.style_threshold, asset.style_decides),
    ):
        if score is not None and threshold is not None:
            side = "above" if score >= threshold else "below"
            end = f"{'' if parts else ' its threshold'}{'' if decides else ' (advisory)'}"
            parts.append(f"{name} {_apart(abs(score - threshold))} {side}{end}")
    return ", ".join(parts)


def _apart(distance: float) -> str:
    """Two places, or four where two would show no distance."""
    return f"{distance:.2f}" if distance >= 0.005 or distance == 0 else f"{distance:.4f}"


def _passing(generation: "GenerationLine") -> str:
    """How many pictures of the generation pass, and apart from them whether what they were finished to does."""
    verdicts = [(asset.finished, asset.passed) for asset in generation.assets if asset.passed is not None]
    made = [passed for finished, passed in verdicts if not finished]
    finished = [passed for finished, passed in verdicts if finished]
    said = _share(made, "pictures") if len(made) > 1 else ""
    if len(finished) == 1:
        return f"{said} The finished picture {'passes' if finished[0] else 'does not pass'}."
    return said + (_share(finished, "finished pictures") if finished else "")


def _share(passed: list[bool], what: str) -> str:
    passing = sum(passed)
    if passing == len(passed):
        return f" All {passing} {what} pass."
    return f" {passing or 'None'} of {len(passed)} {what} {'pass' if passing > 1 else 'passes'}."


def _prompts(number: int) -> str:
    return f"{number:,} prompt{'' if number == 1 else 's'}"


def _sentence(text: str) -> str:
    text = text.strip()
    return text if text.endswith((".", "!", "?")) else f"{text}."
