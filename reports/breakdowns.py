"""A batch by theme, by model and stage, and by what went wrong: the groups of the report, and their charts."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from statistics import median
from typing import Final

from markupsafe import Markup

from reports import bars
from reports.charts import Strip, strips
from reports.records import GenerationLine
from reports.wording import dollars, duration_text, end_of, verdict

#: So many themes or models have a line of their own; the others share one.
_MOST_LINES: Final = 14
_MOST_ROWS_NAMED: Final = 5
#: Colours of the style sheet for stages, in the order of the stages.
_STAGE_COLOURS: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureClass:
    """Generations that came to nothing for the same reason.

    Args:
        code: of the failure; for a rejection what was missed.
        end: `failed`, `rejected` or `canceled`.
        count: generations; `cost_usd` was charged for them.
        said: the most frequent explanation.
        rows: positions of the first ones.
    """

    code: str
    end: str
    count: int
    cost_usd: Decimal
    said: str
    rows: Sequence[int]

    @property
    def rows_in_words(self) -> str:
        more = f" and {self.count - len(self.rows):,} more" if self.count > len(self.rows) else ""
        return ", ".join(map(str, self.rows)) + more


def failure_classes(lines: Iterable[GenerationLine]) -> list[FailureClass]:
    """What failed, was rejected or canceled, by its reason, the most frequent first."""
    groups: dict[tuple[str, str], list[GenerationLine]] = defaultdict(list)
    for line in lines:
        end = end_of(line.state)
        if end in {"failed", "rejected", "canceled"}:
            groups[end, _code(line, end)].append(line)
    found = [
        FailureClass(
            code=code,
            end=end,
            count=len(group),
            cost_usd=sum((line.cost_usd for line in group), Decimal(0)),
            said=Counter(map(verdict, group)).most_common(1)[0][0] if end != "rejected" else _how_far(group),
            rows=sorted(line.position for line in group)[:_MOST_ROWS_NAMED],
        )
        for (end, code), group in groups.items()
    ]
    return sorted(found, key=lambda one: (-one.count, one.code))


def _code(line: GenerationLine, end: str) -> str:
    if end != "rejected":
        return line.error_code or end
    best = line.best
    if best is None or best.core is None or best.core_threshold is None:
        return "rejected"
    if best.core < best.core_threshold:
        return "core too low"
    return "too like another" if best.like else "style too low" if best.style_decides else "rejected"


def _how_far(group: Sequence[GenerationLine]) -> str:
    margins = sorted(line.best.margin for line in group if line.best is not None and line.best.margin is not None)
    if not margins:
        return "Its scores are not at hand."
    if len(margins) == 1:
        return f"By {abs(margins[0]):.3f}."
    return f"By {abs(margins[-1]):.3f} to {abs(margins[0]):.3f}, {abs(median(margins)):.3f} in the middle."


def failures_chart(classes: Sequence[FailureClass]) -> Markup | None:
    """A bar for each class; None where nothing failed."""
    if not classes:
        return None
    lines = [
        bars.Row(label=one.code, parts=[(one.end, one.count)], says=f"{one.count:,} · {dollars(one.cost_usd)}")
        for one in classes[:_MOST_LINES]
    ]
    return bars.rows(lines, label="Generations that came to nothing, by their reason")


@dataclass(frozen=True, slots=True, kw_only=True)
class Durations:
    """Medians of the time of each stage by model, as a chart with its legend: stages in order, with their colours."""

    chart: Markup
    legend: Sequence[tuple[str, str]]


def durations(lines: Iterable[GenerationLine]) -> Durations | None:
    """A bar for each model, made of the median time of its stages; None before the first stage has ended."""
    by_model: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    wholes: dict[str, list[float]] = defaultdict(list)
    for line in lines:
        model = line.model or "no model yet"
        for stage, took_s in line.stage_s.items():
            by_model[model][stage].append(took_s)
        if line.stage_s:
            wholes[model].append(sum(line.stage_s.values()))
    if not by_model:
        return None
    stages = list(dict.fromkeys(stage for of_stage in by_model.values() for stage in of_stage))
    colours = {stage: f"stage{place % _STAGE_COLOURS}" for place, stage in enumerate(stages)}
    drawn = [
        bars.Row(
            label=model,
            parts=[(colours[stage], median(by_model[model][stage])) for stage in stages if stage in by_model[model]],
            says=duration_text(median(wholes[model])),
        )
        for model in sorted(wholes, key=lambda model: -len(wholes[model]))[:_MOST_LINES]
    ]
    chart = bars.rows(drawn, label="Median time of each stage by model")
    return Durations(chart=chart, legend=[(stage, colours[stage]) for stage in stages])


def scores_by_theme(lines: Iterable[GenerationLine]) -> Markup | None:
    """The core score of each best picture against its threshold, a line for each theme; None without scores."""
    by_theme: dict[str, list[tuple[float, float | None]]] = defaultdict(list)
    for line in sorted(lines, key=lambda line: line.position):
        best = line.best
        if best is not None and best.core is not None:
            by_theme[line.theme or "no theme"].append((best.core, best.core_threshold))
    if not by_theme:
        return None
    themes = list(by_theme)
    if len(themes) > _MOST_LINES:
        themes = sorted(themes, key=lambda theme: -len(by_theme[theme]))[: _MOST_LINES - 1]
        rest = [theme for theme in by_theme if theme not in themes]
        by_theme[name := f"{len(rest):,} more themes"] = [one for theme in rest for one in by_theme[theme]]
        themes.append(name)
    return strips([_strip(theme, by_theme[theme]) for theme in themes])


def _strip(theme: str, scores: Sequence[tuple[float, float | None]]) -> Strip:
    thresholds = {threshold for _, threshold in scores}
    return Strip(
        name=theme,
        scores=[(core, threshold is None or core >= threshold) for core, threshold in scores],
        threshold=next(iter(thresholds)) if len(thresholds) == 1 else None,
    )
