"""The tries of a batch as text and CSV: what each changed, its result, and what further tries cost."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from domain import money
from reports.csv_cells import CellWriter
from reports.records import GenerationLine, Report, TryLine

COLUMNS = ("index", "prompt", "try", "changed", "core_before", "core_after", "style_after", "accepted", "cost", "said")


def ordinal(number: int) -> str:
    """`1st`, `2nd`, `3rd`, `4th`, ... `11th`, `21st`."""
    ending = "th" if number % 100 in {11, 12, 13} else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def sentences(line: GenerationLine) -> list[str]:
    """One sentence per further try: `3rd try: cw 75 → 100: 0.71 → 0.79, +0.40 USD`."""
    return [_sentence(before, one) for before, one in zip(line.tried, line.tried[1:], strict=False)]


def _sentence(before: TryLine, one: TryLine) -> str:
    prefix = f"{ordinal(one.number)} try: {one.changed or 'asked for again'}"
    if one.waits_for_usd is not None:
        return f"{prefix}, waits for its turn and {money.show(one.waits_for_usd)} USD of the budget"
    if one.failed is not None:
        return f"{prefix}: {one.failed}, +{money.show(one.cost_usd)} USD"
    if one.core is None:
        return f"{prefix}: on its way"
    earlier = "–" if before.core is None else f"{before.core:.2f}"
    return f"{prefix}: {earlier} → {one.core:.2f}, +{money.show(one.cost_usd)} USD"


@dataclass(slots=True)
class StepLine:
    """The results of one kind of change over the batch.

    Args:
        made: tries that were judged.
        accepted: those that were accepted.
    """

    changed: str
    made: int = 0
    accepted: int = 0
    cost_usd: Decimal = field(default_factory=Decimal)

    @property
    def usd_per_accepted(self) -> Decimal | None:
        return self.cost_usd / self.accepted if self.accepted else None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrySummary:
    """The results of further tries over a batch.

    Args:
        steps: the first try, then each kind of change in order of first use.
        accepted_at_first: generations whose first try passed.
        accepted_later: generations that a further try made pass.
    """

    steps: Sequence[StepLine]
    accepted_at_first: int
    accepted_later: int
    further_usd: Decimal

    @property
    def sentence(self) -> str:
        """How many pictures the further tries added, and their cost."""
        first = self.accepted_at_first
        return (
            f"The first tries gave {first:,} accepted picture{'' if first == 1 else 's'},"
            f" further ones {self.accepted_later or 'no'} more for {money.show(self.further_usd)} USD."
        )


def summarize_tries(report: Report) -> TrySummary | None:
    """Summarize the tries of a report; None where every generation had one try."""
    if not any(len(line.tried) > 1 for line in report.generations):
        return None
    steps: dict[str, StepLine] = {"first try": StepLine("first try")}
    first = later = 0
    for line in report.generations:
        for one in line.tried:
            changed = "first try" if one.number == 1 else one.kind or "asked for again"
            step = steps.setdefault(changed, StepLine(changed))
            step.made += one.core is not None
            step.accepted += one.accepted
            step.cost_usd += one.cost_usd
            first += one.accepted and one.number == 1
            later += one.accepted and one.number > 1
    further = sum((step.cost_usd for name, step in steps.items() if name != "first try"), Decimal(0))
    return TrySummary(steps=list(steps.values()), accepted_at_first=first, accepted_later=later, further_usd=further)


def write_tries(report: Report, path: Path) -> bool:
    """Write one row per try as UTF-8 CSV; returns False, and writes nothing, where every generation had one try.

    Raises:
        OSError: the file cannot be written.
    """
    if summarize_tries(report) is None:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = CellWriter(file)
        writer.writerow(COLUMNS)
        for line in sorted(report.generations, key=lambda line: line.position):
            texts = ["", *sentences(line)]
            befores = [None, *line.tried]
            for one, sentence, before in zip(line.tried, texts, befores, strict=False):
                writer.writerow(_row(line, one, sentence, before.core if before else None))
    return True


def _row(line: GenerationLine, one: TryLine, sentence: str, before: float | None) -> tuple[str, ...]:
    return (
        line.index or str(line.position),
        line.prompt,
        str(one.number),
        one.changed or "",
        _score(before),
        _score(one.core),
        _score(one.style),
        "yes" if one.accepted else "no",
        money.show(one.cost_usd) or "",
        sentence,
    )


def _score(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
