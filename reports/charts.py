"""Charts of the contact sheet as inline SVG: scores as a histogram and by group, and the spend over time.

Colours come from the page's style sheet by class. Text is generated here, but for names, which are escaped.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from math import ceil, floor, log10

from markupsafe import Markup, escape

from reports.wording import dollars, duration_text

_WIDTH, _HEIGHT = 560, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 54, 14, 26, 32
_ACROSS = _WIDTH - _LEFT - _RIGHT
_UP = _HEIGHT - _TOP - _BOTTOM
_GROUND = _HEIGHT - _BOTTOM
#: Readable axis steps, times a power of ten.
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
#: About the width of the chart in pixels; more points would not be visible.
_MOST_POINTS = 500
#: Of charts with a line per group: the height of a line, the room for names, and more dots than can be told apart.
_LINE, _NAMES, _MOST_DOTS = 26, 150, 120
#: Lowest, lower quarter, middle, upper quarter, highest.
_CUTS = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One core score, and whether its picture is the best of its attempt."""

    value: float
    best: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """A mean with its interval; both ends are the mean where there is none."""

    name: str
    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """The scores of one group, each with whether it passes.

    Args:
        scores: at least one.
        threshold: None where pictures had different thresholds.
    """

    name: str
    scores: Sequence[tuple[float, bool]]
    threshold: float | None


def strips(groups: Sequence[Strip]) -> Markup:
    """A line per group: a dot per score, or its middle half and its range where there are many, and the threshold.

    Args:
        groups: at least one.
    """
    values = [value for one in groups for value, _ in one.scores]
    values += [one.threshold for one in groups if one.threshold is not None]
    step = _readable_step((max(values) - min(values)) / 6, least=0.01)
    low, high = floor(min(values) / step - 0.2) * step, (floor(max(values) / step + 0.2) + 1) * step
    ground = len(groups) * _LINE + _TOP
    parts: list[str] = []
    for number in range(round((high - low) / step) + 1):
        x = _along(low + number * step, low, high)
        parts.append(f'<line class="rung" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP - 8}" y2="{ground}"/>')
        parts.append(_text(x, ground + 18, f"{low + number * step:.{_places(step)}f}", anchor="middle"))
    for place, one in enumerate(groups):
        y = _TOP + (place + 0.5) * _LINE
        short = one.name if len(one.name) <= 20 else f"{one.name[:19]}…"
        parts.append(_text(_NAMES - 10, y + 4, str(escape(short)), anchor="end"))
        parts += _strip(one, y, low, high)
    said = ", ".join(f"{escape(one.name)} {len(one.scores):,}" for one in groups)
    return _svg(parts, label=f"Core scores by theme: {said}", height=ground + 26)


def _strip(one: Strip, y: float, low: float, high: float) -> list[str]:
    passing = sum(passes for _, passes in one.scores)
    parts = [f"<title>{escape(one.name)}: {passing:,} of {len(one.scores):,} pass</title>"]
    if len(one.scores) <= _MOST_DOTS:
        for value, passes in one.scores:
            kind = "pass" if passes else "miss"
            parts.append(f'<circle class="score {kind}" cx="{_along(value, low, high):.1f}" cy="{y:.1f}" r="4.5"/>')
    else:
        scores = sorted(value for value, _ in one.scores)
        first, left, middle, right, last = (_along(scores[round(at * (len(scores) - 1))], low, high) for at in _CUTS)
        parts.append(f'<line class="range" x1="{first:.1f}" x2="{last:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>')
        shape = f'y="{y - 7:.1f}" width="{max(right - left, 1):.1f}" height="14" rx="2"'
        parts.append(f'<rect class="half" x="{left:.1f}" {shape}/>')
        parts.append(f'<line class="middle" x1="{middle:.1f}" x2="{middle:.1f}" y1="{y - 7:.1f}" y2="{y + 7:.1f}"/>')
    if one.threshold is not None:
        x = _along(one.threshold, low, high)
        parts.append(f'<line class="limit" x1="{x:.1f}" x2="{x:.1f}" y1="{y - 12:.1f}" y2="{y + 12:.1f}"/>')
    return ["<g>", *parts, "</g>"]


def _along(value: float, low: float, high: float) -> float:
    return _NAMES + (value - low) / (high - low) * (_WIDTH - _RIGHT - _NAMES)


def spreads(cases: Sequence[Spread], *, threshold: float | None) -> Markup:
    """One mean with its interval per case, side by side in the order given.

    Args:
        cases: at least one.
        threshold: drawn as a line; None where pictures had different thresholds.
    """
    ends = [end for one in cases for end in (one.low, one.high)] + ([] if threshold is None else [threshold])
    step = _readable_step((max(ends) - min(ends)) / 4, least=0.005)
    bottom, top = floor(min(ends) / step) * step, (floor(max(ends) / step) + 1) * step
    scale = _Scale(low=0, high=len(cases), top=top - bottom)
    parts: list[str] = []
    for number in range(round((top - bottom) / step) + 1):
        value = bottom + number * step
        parts += _rung(scale.y(number * step), f"{value:.{_places(step)}f}")
    for place, one in enumerate(cases):
        x, low, mean, high = scale.x(place + 0.5), *(scale.y(at - bottom) for at in (one.low, one.mean, one.high))
        parts.append(f'<line class="whisker" x1="{x:.1f}" x2="{x:.1f}" y1="{low:.1f}" y2="{high:.1f}"/>')
        parts.append(f'<circle class="dot" cx="{x:.1f}" cy="{mean:.1f}" r="5"/>')
        room = max(6, int(_ACROSS / len(cases) / 7))
        parts.append(_text(x, _HEIGHT - 9, str(escape(one.name[:room])), anchor="middle"))
    if threshold is not None:
        y = scale.y(threshold - bottom)
        parts.append(f'<line class="limit" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(_text(_LEFT + 6, y - 6, f"threshold {threshold:.3f}", kind="mark"))
    return _svg(parts, label=f"Mean core scores of {len(cases)} cases with their intervals")


def histogram(scores: Sequence[Score], *, threshold: float | None) -> Markup:
    """Histogram of core scores, with the best picture of each attempt at the bottom of the bars.

    Bins are aligned to the threshold, so that no bar straddles it.

    Args:
        scores: at least one.
        threshold: drawn as a line; None where pictures had different thresholds.
    """
    values = [score.value for score in scores] + ([] if threshold is None else [threshold])
    step = _readable_step((max(values) - min(values)) / 18, least=0.002)
    origin = floor(min(values) / step) * step if threshold is None else threshold
    first = floor((min(values) - origin) / step + 1e-9)
    bins = floor((max(values) - origin) / step + 1e-9) - first + 1
    best, other = [0] * bins, [0] * bins
    for score in scores:
        place = floor((score.value - origin) / step + 1e-9) - first
        (best if score.best else other)[place] += 1
    highest = max(solid + pale for solid, pale in zip(best, other, strict=True))
    scale = _Scale(low=origin + first * step, high=origin + (first + bins) * step, top=_round_up(highest))
    parts = [rung for count in {0, scale.top // 2, scale.top} for rung in _rung(scale.y(count), f"{count:g}")]
    for place, (solid, pale) in enumerate(zip(best, other, strict=True)):
        side = "plain" if threshold is None else "pass" if place + first >= 0 else "miss"
        edge = scale.low + place * step
        parts += _bar(scale, edge=edge, width=step, under=0, count=solid, kind=f"best {side}")
        parts += _bar(scale, edge=edge, width=step, under=solid, count=pale, kind=f"other {side}")
    tick = _readable_step((scale.high - scale.low) / 6, least=0.005)
    for number in range(ceil(scale.low / tick - 1e-9), floor(scale.high / tick + 1e-9) + 1):
        parts.append(_text(scale.x(number * tick), _HEIGHT - 9, f"{number * tick:.{_places(tick)}f}", anchor="middle"))
    if threshold is not None:
        parts += _threshold(scale.x(threshold), f"threshold {threshold:.3f}".rstrip("0"))
    return _svg(parts, label=f"Core scores of {len(scores)} pictures, from {min(values):.2f} to {max(values):.2f}")


def spend_curve(
    spend: Sequence[tuple[datetime, Decimal]], *, began: datetime, wall_s: float, limit: Decimal | None
) -> Markup:
    """Total charged over time, with the limit where it fits the scale.

    Args:
        spend: at least one (time, total charged by then), in order of time.
        began: start of the time axis.
        wall_s: minimum length of the time axis.
        limit: the budget, if there is one.
    """
    points = [(max((at - began).total_seconds(), 0.0), float(amount)) for at, amount in spend]
    points = points[:: ceil(len(points) / _MOST_POINTS)] + points[-1:]
    highest = max(amount for _, amount in points) or 0.01
    ceiling = float(limit) if limit is not None and limit <= Decimal(4 * highest) else None
    rung = _readable_step(max(highest, ceiling or 0) / 4, least=0.0001)
    rungs = ceil(max(highest, ceiling or 0) / rung - 1e-9)
    scale = _Scale(low=0, high=max(wall_s, points[-1][0], 0.1), top=rungs * rung)
    parts: list[str] = []
    for number in range(rungs + 1):
        parts += _rung(scale.y(number * rung), dollars(Decimal(f"{number * rung:.4f}")))
    path = f"M{_LEFT} {_GROUND}" + "".join(f"H{scale.x(at):.1f}V{scale.y(amount):.1f}" for at, amount in points)
    path += f"H{_LEFT + _ACROSS}"
    parts.append(f'<path class="area" d="{path}V{_GROUND}Z"/><path class="line" d="{path}"/>')
    for share, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end")):
        parts.append(_text(_LEFT + share * _ACROSS, _HEIGHT - 9, duration_text(share * scale.high), anchor=anchor))
    if ceiling is not None:
        y = scale.y(ceiling)
        parts.append(f'<line class="limit" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(_text(_LEFT + 6, y - 6, f"limit {dollars(limit)}", kind="mark"))
    return _svg(parts, label=f"Charged over time, {dollars(spend[-1][1])} in the end")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scale:
    """Maps values to coordinates of the drawing."""

    low: float
    high: float
    top: float

    def x(self, value: float) -> float:
        return _LEFT + (value - self.low) / (self.high - self.low) * _ACROSS

    def y(self, value: float) -> float:
        return _GROUND - value / self.top * _UP


def _readable_step(rough: float, *, least: float) -> float:
    rough = max(rough, least)
    power = 10.0 ** floor(log10(rough))
    return next(step * power for step in _STEPS if step * power >= rough * (1 - 1e-9))


def _round_up(count: int) -> int:
    """Top of a count axis: even, so that its middle is a whole number too."""
    return count + count % 2


def _places(step: float) -> int:
    return next(places for places in range(5) if abs(round(step, places) - step) < 1e-9)


def _bar(scale: _Scale, *, edge: float, width: float, under: int, count: int, kind: str) -> list[str]:
    if not count:
        return []
    left, right = scale.x(edge) + 1, scale.x(edge + width) - 1
    top, bottom = scale.y(under + count), scale.y(under)
    shape = f'x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" height="{bottom - top:.1f}"'
    return [f'<rect class="{kind}" {shape} rx="1.5"/>']


def _rung(y: float, label: str) -> list[str]:
    line = f'<line class="rung" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
    return [line, _text(_LEFT - 8, y + 4, label, anchor="end")]


def _threshold(x: float, label: str) -> list[str]:
    line = f'<line class="threshold" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP - 6}" y2="{_GROUND}"/>'
    if x > _WIDTH / 2:
        return [line, _text(x - 6, _TOP - 10, label, anchor="end", kind="mark")]
    return [line, _text(x + 6, _TOP - 10, label, kind="mark")]


def _text(x: float, y: float, words: str, *, anchor: str = "start", kind: str = "tick") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{words}</text>'


def _svg(parts: Sequence[str], *, label: str, height: int = _HEIGHT) -> Markup:
    shape = f'viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{label}"'
    return Markup(f'<svg class="chart" {shape}>{"".join(parts)}</svg>')  # noqa: S704 - see the module docstring
