"""Charts of figures over days and over models, as inline SVG without a style of its own: colours are the page's.

Labels are escaped here; every number is formatted here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from markupsafe import Markup, escape

_WIDTH, _HEIGHT = 560, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 54, 10, 14, 26
_ACROSS = _WIDTH - _LEFT - _RIGHT
_UP = _HEIGHT - _TOP - _BOTTOM
_GROUND = _HEIGHT - _BOTTOM
_ROW, _NAMES = 34, 190
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One day of a chart.

    Args:
        label: under the column.
        parts: from the ground up, by the class that colours each.
        says: for who points at it, and for who cannot see it.
    """

    label: str
    parts: Sequence[tuple[str, float]]
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of a chart of bars that lie; its parts follow one another."""

    label: str
    parts: Sequence[tuple[str, float]]
    says: str


def columns(days: Sequence[Column], *, label: str, unit: str = "", places: int = 0) -> Markup:
    """A column for each day, over an axis with a readable step.

    Args:
        unit: before each number of the axis.
    """
    highest = max((sum(value for _, value in day.parts) for day in days), default=0.0)
    step = _readable(highest / 4 or 1.0)
    rungs = max(ceil(highest / step - 1e-9), 1)
    parts = []
    for number in range(rungs + 1):
        y = _GROUND - number / rungs * _UP
        parts.append(f'<line class="rung" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{unit}{number * step:.{places}f}</text>')
    width = _ACROSS / max(len(days), 10)
    every = ceil(len(days) / 8)
    for place, day in enumerate(days):
        left, under = _LEFT + place * width, 0.0
        drawn = []
        for kind, value in day.parts:
            height = value / (rungs * step) * _UP
            y = _GROUND - under - height
            gap = min(width * 0.18, 6)
            drawn.append(
                f'<rect class="{kind}" x="{left + gap:.1f}" y="{y:.1f}" width="{max(width - 2 * gap, 1):.1f}"'
                f' height="{height:.1f}" rx="1.5"/>'
            )
            under += height
        parts.append(f"<g><title>{escape(day.says)}</title>{''.join(drawn)}</g>")
        if place % every == 0:
            middle = left + width / 2
            parts.append(f'<text x="{middle:.1f}" y="{_HEIGHT - 8}" text-anchor="middle">{escape(day.label)}</text>')
    return _svg(parts, height=_HEIGHT, label=label)


def rows(lines: Sequence[Row], *, label: str) -> Markup:
    """A bar for each line, all on one scale, with its words at the end of it."""
    longest = max((sum(value for _, value in line.parts) for line in lines), default=0.0) or 1.0
    parts = []
    across = _WIDTH - _NAMES - 130
    for place, line in enumerate(lines):
        y, x = place * _ROW + 8, float(_NAMES)
        short = line.label if len(line.label) <= 26 else f"{line.label[:25]}…"
        parts.append(f'<text x="{_NAMES - 10}" y="{y + 14}" text-anchor="end">{escape(short)}</text>')
        for kind, value in line.parts:
            width = value / longest * across
            parts.append(f'<rect class="{kind}" x="{x:.1f}" y="{y}" width="{width:.1f}" height="20" rx="1.5"/>')
            x += width
        parts.append(f'<text class="mark" x="{x + 8:.1f}" y="{y + 14}">{escape(line.says)}</text>')
    return _svg(parts, height=len(lines) * _ROW + 6, label=label)


def split(parts: Mapping[str, float]) -> Markup:
    """A thin bar in which each part has its share, in the order given; beside text that says the same."""
    whole = sum(parts.values())
    drawn, x = [], 0.0
    for kind, value in parts.items():
        if value > 0 and whole > 0:
            width = value / whole * 100
            drawn.append(f'<rect class="{kind}" x="{x:.3f}%" width="{width:.3f}%" height="100%"/>')
            x += width
    return Markup(f'<svg class="split" aria-hidden="true" preserveAspectRatio="none">{"".join(drawn)}</svg>')  # noqa: S704 - numbers and class names of ours


def track(score: float, threshold: float, kind: str, *, low: float = 0.0) -> Markup:
    """A score up to 1 as a bar with a tick at its threshold; beside text that says the same.

    Args:
        kind: the class that colours it: `pass`, `miss` or `advice`.
        low: where the bar begins.
    """
    fill, tick = (min(max((value - low) / (1 - low), 0.0), 1.0) * 100 for value in (score, threshold))
    return Markup(  # noqa: S704 - numbers and a class name of ours
        f'<svg class="track {kind}" aria-hidden="true"><rect class="fill" width="{fill:.2f}%" height="100%"/>'
        f'<line class="tick" x1="{tick:.2f}%" x2="{tick:.2f}%" y1="0" y2="100%"/></svg>'
    )


def _readable(rough: float) -> float:
    power = 10.0 ** (len(str(int(rough))) - 1) if rough >= 1 else 1.0
    while power > rough:
        power /= 10
    return next(step * power for step in _STEPS if step * power >= rough * (1 - 1e-9))


def _svg(parts: Sequence[str], *, height: int, label: str) -> Markup:
    head = f'<svg class="chart" viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(label)}">'
    return Markup(f"{head}{''.join(parts)}</svg>")  # noqa: S704 - numbers, class names of ours, and escaped labels
