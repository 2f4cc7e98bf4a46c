"""The page of a comparison: pictures of all cases side by side, their figures, and what may be concluded.

One HTML file without script, server or network, like the contact sheet.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from reports import wording
from reports.charts import Spread, spreads
from reports.contact_sheet import TEMPLATES, write_page
from reports.records import GenerationLine, Picture
from reports.thumbnails import Thumbnail, Wanted, fitting_side, make_thumbnails, share

#: Rows of pictures on a page; more are counted and left out.
_MOST_ROWS = 120
_SIDE_PX = 420


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """From `low` to `high`, with 95 % confidence."""

    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFigures:
    """What one case came to.

    Args:
        asked: in words, such as `cref_weight 50, references 1`.
        total: generations; `judged` of them have a verdict.
        share: of the judged ones, those accepted, with its interval.
        mean: core score of the best picture, over prompts; None before the first verdict.
        follows: mean cosine of the picture with its prompt, or None.
        usd_per_accepted: charged over accepted, None before the first.
    """

    name: str
    asked: str
    total: int
    judged: int
    accepted: int
    share: Span | None
    mean: float | None
    span: Span | None
    follows: float | None
    charged_usd: Decimal
    usd_per_accepted: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferenceLine:
    """How two cases differ; `certain` where the interval leaves out zero."""

    better: str
    worse: str
    mean: float
    span: Span
    prompts: int
    certain: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A comparison as of now.

    Args:
        conclusion: what may be concluded, in sentences; the first is the answer.
        decided: whether there is a winner.
        rounds: the rows of pictures: the prompt, and by case its generation.
        confidence: of the intervals of the differences, in percent.
    """

    name: str
    character: str | None
    thresholds: str | None
    references: Sequence[Picture]
    decided: bool
    conclusion: Sequence[str]
    cases: Sequence[CaseFigures]
    differences: Sequence[DifferenceLine]
    confidence: float
    threshold: float | None
    rounds: Sequence[tuple[str, Mapping[str, GenerationLine]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cell:
    """One picture of the page, or why there is none."""

    thumbnail: Thumbnail | None
    end: str
    said: str
    alt: str


def write_comparison(comparison: Comparison, path: Path) -> None:
    """Write the page to `path` atomically.

    Raises:
        OSError: the file cannot be written.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(dollars=wording.dollars)
    shown = comparison.rounds[:_MOST_ROWS]
    page = environment.get_template("comparison.html.j2").render(
        comparison=comparison,
        plot=_plot(comparison),
        references=_references(comparison.references),
        rows=_rows(shown, [case.name for case in comparison.cases]),
        unshown=len(comparison.rounds) - len(shown),
        style=Markup((TEMPLATES / "report.css").read_text(encoding="utf-8")),  # noqa: S704 - a file of ours
    )
    write_page(page, path)


def _plot(comparison: Comparison) -> Markup | None:
    drawn = [
        Spread(
            name=case.name,
            mean=case.mean,
            low=case.span.low if case.span else case.mean,
            high=case.span.high if case.span else case.mean,
        )
        for case in comparison.cases
        if case.mean is not None
    ]
    return spreads(drawn, threshold=comparison.threshold) if drawn else None


def _references(pictures: Sequence[Picture]) -> list[tuple[Thumbnail, str]]:
    wanted = [Wanted(path=one.path, side_px=240, limit_bytes=30_000) for one in pictures if one.path is not None]
    labels = [one.label for one in pictures if one.path is not None]
    made = make_thumbnails(wanted)
    return [(one, label) for one, label in zip(made, labels, strict=True) if one is not None]


def _rows(
    rounds: Sequence[tuple[str, Mapping[str, GenerationLine]]], names: Sequence[str]
) -> list[tuple[str, list[_Cell | None]]]:
    large, _ = share(large=len(rounds) * len(names), small=0)
    side = fitting_side(large, most_px=_SIDE_PX)
    lines = [(prompt, [by_case.get(name) for name in names]) for prompt, by_case in rounds]
    paths = [line.best.path for _, row in lines for line in row if line and line.best and line.best.path]
    made = dict(
        zip(paths, make_thumbnails([Wanted(path=one, side_px=side, limit_bytes=large) for one in paths]), strict=True)
    )
    return [(prompt, [None if line is None else _cell(line, made) for line in row]) for prompt, row in lines]


def _cell(line: GenerationLine, made: Mapping[Path, Thumbnail | None]) -> _Cell:
    best = line.best
    score = f"core {best.core:.3f}" if best is not None and best.core is not None else ""
    end = wording.end_of(line.state)
    said = {"accepted": f"✓ {score or 'accepted'}", "rejected": f"✕ {score}"}.get(end) or wording.verdict(line)
    thumbnail = made.get(best.path) if best is not None and best.path is not None else None
    return _Cell(thumbnail=thumbnail, end=end, said=said, alt=f"{line.prompt[:120]}: {said}")
