"""The result of a comparison: figures by case, what may be concluded, and the pictures side by side."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from statistics import fmean
from typing import Any, Final

from db.reads import generations
from db.reads.generations import GenerationDetails, Wanted
from domain.errors import BadInput
from domain.states import GenerationState
from pipeline.comparison.cases import CASE, PROMPT
from pipeline.resources import Resources
from pipeline.views.report import line_of, report_of
from pipeline.views.status import BatchStatus
from reports.comparison_page import CaseFigures, Comparison, DifferenceLine, Span
from reports.records import GenerationLine
from reports.wording import dollars, join_words
from validation.calibration import Interval
from validation.case_statistics import (
    Case,
    Difference,
    Outcome,
    Recommendation,
    mean_interval,
    recommend,
    share_interval,
)

#: Settings that every case of a batch may share and that say nothing about it.
_SAME: Final = frozenset({"timeout"})
_JUDGED: Final = (GenerationState.COMPLETED, GenerationState.REJECTED)


def comparison_of(resources: Resources, found: BatchStatus) -> Comparison:
    """The comparison that a batch is, as of now.

    Raises:
        BadInput: the batch is none.
    """
    with resources.database.transaction() as connection:
        all_details = generations.all_details(connection, Wanted(batch_id=found.batch.id))
    by_case: dict[str, list[GenerationDetails]] = defaultdict(list)
    for details in all_details:
        if case := _row(details).get(CASE):
            by_case[case].append(details)
    if not by_case:
        raise BadInput(f"batch {found.batch.name!r} compares nothing; `likeness report {found.batch.name}` shows it")
    lines = {details.generation["id"]: line_of(resources, details) for details in all_details}
    measured = {name: _measured(name, told, lines) for name, told in by_case.items()}
    advice = recommend(list(measured.values()))
    figures = [_figures(one, by_case[name], lines) for name, one in measured.items()]
    record = report_of(resources, found.batch.id)
    thresholds = {line.best.core_threshold for line in lines.values() if line.best} - {None}
    return Comparison(
        name=found.batch.name,
        character=record.character,
        thresholds=record.thresholds,
        references=record.references,
        decided=advice.outcome is Outcome.WINNER,
        conclusion=_conclusion(advice, figures, unfinished=found.progress.unfinished),
        cases=figures,
        differences=[_difference(one) for one in advice.differences],
        confidence=100 * advice.confidence,
        threshold=thresholds.pop() if len(thresholds) == 1 else None,
        rounds=_rounds(by_case, lines),
    )


def as_json(comparison: Comparison) -> dict[str, Any]:
    """The document of `--json`."""
    return {
        "decided": comparison.decided,
        "conclusion": list(comparison.conclusion),
        "confidence_percent": round(comparison.confidence, 3),
        "cases": [
            {
                "name": one.name,
                "asked": one.asked,
                "total": one.total,
                "judged": one.judged,
                "accepted": one.accepted,
                "accepted_interval": _pair(one.share),
                "core_mean": one.mean,
                "core_interval": _pair(one.span),
                "follows_prompt": one.follows,
                "charged_usd": str(one.charged_usd),
                "usd_per_accepted": None if one.usd_per_accepted is None else str(round(one.usd_per_accepted, 4)),
            }
            for one in comparison.cases
        ],
        "differences": [
            {
                "better": one.better,
                "worse": one.worse,
                "mean": one.mean,
                "interval": _pair(one.span),
                "prompts": one.prompts,
                "certain": one.certain,
            }
            for one in comparison.differences
        ],
    }


def _pair(span: Span | None) -> list[float] | None:
    return None if span is None else [span.low, span.high]


def _row(details: GenerationDetails) -> Mapping[str, Any]:
    row: Mapping[str, Any] = details.generation["pipeline_data"].get("row", {})
    return row


def _measured(name: str, told: Sequence[GenerationDetails], lines: Mapping[Any, GenerationLine]) -> Case:
    """The judged generations of a case: the score of each is its best picture's, which is what the studio gets."""
    scores: dict[str, list[float]] = defaultdict(list)
    for details in told:
        best = lines[details.generation["id"]].best
        if details.generation["state"] in _JUDGED and best is not None and best.core is not None:
            scores[_row(details)[PROMPT]].append(best.core)
    return Case(
        name=name,
        scores=dict(scores),
        judged=sum(details.generation["state"] in _JUDGED for details in told),
        accepted=sum(details.generation["state"] == GenerationState.COMPLETED for details in told),
    )


def _figures(case: Case, told: Sequence[GenerationDetails], lines: Mapping[Any, GenerationLine]) -> CaseFigures:
    charged = sum((details.generation["cost"] for details in told), Decimal(0))
    bests = [best for details in told if (best := lines[details.generation["id"]].best) is not None]
    follows = [one.text_alignment for one in bests if one.text_alignment is not None]
    return CaseFigures(
        name=case.name,
        asked=_asked(told[0]),
        total=len(told),
        judged=case.judged,
        accepted=case.accepted,
        share=_span(share_interval(case.accepted, case.judged)),
        mean=case.mean,
        span=_span(mean_interval(case)),
        follows=fmean(follows) if follows else None,
        charged_usd=charged,
        usd_per_accepted=charged / case.accepted if case.accepted else None,
    )


def _asked(details: GenerationDetails) -> str:
    row = details.generation
    settings = {name: value for name, value in row["settings"].items() if name not in _SAME}
    if settings.get("references") is False:
        settings["references"] = "none"
    return ", ".join([row["model"], *(f"{name} {_short(value)}" for name, value in sorted(settings.items()))])


def _short(value: Any) -> str:
    text = " ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _span(interval: Interval | None) -> Span | None:
    return None if interval is None else Span(low=interval.low, high=interval.high)


def _difference(one: Difference) -> DifferenceLine:
    return DifferenceLine(
        better=one.better,
        worse=one.worse,
        mean=one.mean,
        span=Span(low=one.interval.low, high=one.interval.high),
        prompts=one.prompts,
        certain=one.certain,
    )


def _conclusion(advice: Recommendation, figures: Sequence[CaseFigures], *, unfinished: int) -> list[str]:
    """What may be said, the answer first."""
    by_name = {one.name: one for one in figures}
    open_still = [f"{unfinished} generations are not finished yet, and this may change."] if unfinished else []
    if advice.outcome is Outcome.TOO_THIN:
        return [f"No recommendation: too few pictures. It takes {advice.lacking}.", *open_still]
    leaders = [by_name[name] for name in advice.leaders]
    prices = join_words([f"{dollars(one.usd_per_accepted)} of {one.name}" for one in leaders])
    if advice.outcome is Outcome.WINNER:
        answer = f"Use {leaders[0].name}: its core score is higher than that of every other case."
    else:
        answer = f"No winner: {join_words([one.name for one in leaders])} cannot be told apart by these pictures."
    nothing = "" if any(one.accepted for one in leaders) else " None of its pictures was accepted, though."
    # In the order in which the cases were asked for: of two that cost the same, the lower weight is taken.
    cheapest = min(
        (one for one in figures if one in leaders and one.usd_per_accepted is not None),
        key=lambda one: one.usd_per_accepted or Decimal(0),
        default=None,
    )
    return [
        answer + nothing,
        f"An accepted image costs {prices}.",
        *_among(advice, leaders, cheapest),
        *open_still,
    ]


def _among(advice: Recommendation, leaders: Sequence[CaseFigures], cheapest: CaseFigures | None) -> Iterable[str]:
    """What else a tie lets one say: who lost, how large a difference may hide, and what to do until it is known."""
    if advice.outcome is not Outcome.TIE:
        return
    worse = [one.worse for one in advice.differences if one.certain]
    if worse:
        yield f"Worse than {leaders[0].name}, beyond chance: {join_words(worse)}."
    least_sure = max(
        (one for one in advice.differences if not one.certain), key=lambda one: one.interval.high - one.interval.low
    )
    hidden = (least_sure.interval.high - least_sure.interval.low) / 2
    yield (
        f"Least is known of {least_sure.worse} beside {least_sure.better}, where a difference of {hidden:.3f} would not"
        " show; four times as many pictures halve that."
    )
    if cheapest is not None:
        yield f"Until more is known take {cheapest.name}: none of them is cheaper per accepted image."


def _rounds(
    by_case: Mapping[str, Sequence[GenerationDetails]], lines: Mapping[Any, GenerationLine]
) -> list[tuple[str, dict[str, GenerationLine]]]:
    """Pictures side by side: the first of each prompt in every case, then the second; prompts in their order."""
    cells: dict[tuple[str, int], dict[str, GenerationLine]] = defaultdict(dict)
    for name, told in by_case.items():
        seen: dict[str, int] = defaultdict(int)
        for details in told:
            prompt = _row(details)[PROMPT]
            cells[prompt, seen[prompt]][name] = lines[details.generation["id"]]
            seen[prompt] += 1
    ordered = sorted(cells, key=lambda one: (int(one[0].partition(":")[0]), one[1]))
    return [(one[0].partition(": ")[2], cells[one]) for one in ordered]
