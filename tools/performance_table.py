"""Generate the tables of `docs/performance.md` from the newest lines of `benchmarks/results/`."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent.parent / "benchmarks" / "results"
#: The aims of the whole path: as a ratio to the plain application, or as a figure.
_RATE_AIM = 2.0
_AIMS = {"statements": "12", "commits": "5", "messages": "3"}


def newest(name: str) -> dict[str, Any]:
    """The line that was recorded last."""
    lines = (RESULTS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def whole_path_table() -> str:
    """The product beside the plain application, as they ran in one run."""
    line = newest("whole_path")
    plain, ours = line["sides"]["plain"], line["sides"]["product"]
    told = (
        f"Commit {line['commit']}, {line['at'][:10]}, {line['count']} generations, load {line['machine']['load']:.1f}."
    )
    return "\n".join(
        [told, "", "| per generation | plain | Likeness | ratio | aim |", "|---|---|---|---|---|", *_rows(plain, ours)]
    )


def _rows(plain: dict[str, Any], ours: dict[str, Any]) -> Iterator[str]:
    rates = plain["generations_per_s"], ours["generations_per_s"]
    yield _row("generations/s, not one of them", *rates, aim=f"{_RATE_AIM:g} times the plain one")
    costs = plain["cpu_ms_per_generation"], ours["cpu_ms_per_generation"]
    for kind in costs[1]:
        yield _row(
            f"CPU of {kind}, ms",
            costs[0].get(kind),
            costs[1][kind],
            aim="30 where plain is 55" if kind == "all" else "",
        )
    for name, aim in _AIMS.items():
        yield _row(name, plain["per_generation"][name], ours["per_generation"][name], aim=aim)
    if "kept_kb_per_generation" in ours:
        yield _row("kept in Postgres, KB", plain["kept_kb_per_generation"], ours["kept_kb_per_generation"])
    idle = plain["idle_cpu_share"]["all"], ours["idle_cpu_share"]["all"]
    yield _row("idle, share of one core", *idle, aim="0.02")


def _row(name: str, plain: float | None, ours: float, *, aim: str = "") -> str:
    if plain is None:
        return f"| {name} | – | {ours:g} | – | {aim} |"
    ratio = f"{ours / plain:.2f}" if plain else "–"
    return f"| {name} | {plain:g} | {ours:g} | {ratio} | {aim} |"
