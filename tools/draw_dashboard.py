"""Draw the Grafana dashboard's panels as one picture, each from its own expressions, asked of a running Prometheus.

    python -m tools.draw_dashboard http://127.0.0.1:9090 docs/dashboard.webp --minutes 10

For the documentation, where no Grafana runs: titles, expressions, legends and units are the dashboard's file's.
"""

import argparse
import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

DASHBOARD = Path(__file__).parents[1] / "deploy" / "grafana" / "dashboards" / "likeness.json"
_COLUMNS = 4
_POINTS = 240
_UNITS: Mapping[str, tuple[float, str]] = {
    "s": (1.0, "{:g} s"),
    "percentunit": (100.0, "{:g} %"),
    "currencyUSD": (1.0, "${:g}"),
    "bytes": (1e-6, "{:,.0f} MB"),
    "short": (1.0, "{:g}"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One line of a panel: what its legend says, and its moments and values."""

    name: str
    points: list[tuple[float, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prometheus:
    """Answers for the last minutes.

    Args:
        url: of its root.
        since: the first moment, in seconds since 1970.
        until: the last one.
    """

    url: str
    since: float
    until: float

    def ask(self, expression: str, legend: str) -> Iterator[Series]:
        """The series of an expression that have a value."""
        step = max(1.0, (self.until - self.since) / _POINTS)
        parameters: dict[str, str | float] = {"query": expression, "start": self.since, "end": self.until, "step": step}
        reply = httpx2.get(f"{self.url}/api/v1/query_range", params=parameters, trust_env=False, timeout=30)
        for found in reply.raise_for_status().json()["data"]["result"]:
            points = [(float(at), float(value)) for at, value in found["values"] if value != "NaN"]
            if points:
                yield Series(name=_named(legend, found["metric"]), points=points)


def draw(prometheus: Prometheus) -> Figure:
    """All panels, in the dashboard's order; one without data says so."""
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    rows = -(-len(panels) // _COLUMNS)
    figure = Figure(figsize=(4 * _COLUMNS, 2.3 * rows), layout="constrained", facecolor="#f4f5f5")
    for axes, panel in zip(figure.subplots(rows, _COLUMNS).flat, panels, strict=False):
        _draw_panel(axes, panel, prometheus)
    for axes in figure.axes[len(panels) :]:
        axes.set_visible(False)
    return figure


def _draw_panel(axes: Axes, panel: Mapping[str, Any], prometheus: Prometheus) -> None:
    factor, unit = _UNITS[panel["fieldConfig"]["defaults"]["unit"]]
    axes.set_title(panel["title"], loc="left", fontsize=8, fontweight="bold")
    series = [one for target in panel["targets"] for one in prometheus.ask(target["expr"], target["legendFormat"])]
    for one in series:
        minutes = [(at - prometheus.until) / 60 for at, _ in one.points]
        axes.plot(minutes, [value * factor for _, value in one.points], linewidth=1.1, label=one.name)
    axes.set_xlim((prometheus.since - prometheus.until) / 60, 0)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda at, _: f"{at:g} min"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: unit.format(round(value, 6))))
    axes.tick_params(labelsize=6)
    axes.grid(visible=True, linewidth=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    if series:
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
        axes.legend(fontsize=5, frameon=False, loc="best", ncols=1 + len(series) // 6)
    else:
        axes.text(0.5, 0.5, "no data", transform=axes.transAxes, ha="center", fontsize=8, color="#777777")


def _named(legend: str, labels: Mapping[str, str]) -> str:
    return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda found: labels.get(found[1], ""), legend)


def main() -> None:
    reader = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reader.add_argument("url", help="of Prometheus")
    reader.add_argument("picture", type=Path, help="a file ending in .png or .webp")
    reader.add_argument("--minutes", type=float, default=10.0)
    given = reader.parse_args()
    until = time.time()
    figure = draw(Prometheus(url=given.url.rstrip("/"), since=until - given.minutes * 60, until=until))
    figure.savefig(given.picture, dpi=110, pil_kwargs={"quality": 80})


if __name__ == "__main__":
    main()
