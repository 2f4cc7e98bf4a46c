"""Generate the tables of `docs/performance.md` from the newest lines of `benchmarks/results/`."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent.parent / "benchmarks" / "results"
#: The aims of the whole path: as a ratio to the plain application, or as a figure.
_RATE_AIM = 2.0
_AIMS = {"statements": "12", "commits": "5", "messages": "3"}
_PUBLISHING = "at_once", "delay"
#: What is asked, what was found, the control, the aim, and the load of the machine.
_Part = tuple[str, str, str, str, float]


def newest(name: str) -> dict[str, Any]:
    """The line that was recorded last."""
    lines = (RESULTS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def parts_table() -> str:
    """What single parts of the way cost, each beside the control of its run."""
    rows = [
        f"| {question} | {found} | {control} | {aim} | {f'{load:.1f}' if load else '–'} |"
        for name, part in _PARTS.items()
        if (RESULTS / f"{name}.jsonl").exists()
        for question, found, control, aim, load in part()
    ]
    return "\n".join(["| | found | control | aim | load |", "|---|---|---|---|---|", *rows])


def _admission() -> Iterator[_Part]:
    line = newest("admission")
    short, long = line["queues"]
    load, took = line["machine"]["load"], "{:.0f} ms, {:.0f} ms of CPU with Postgres"
    size = f"; table {long['table_mb']:g} MB, indexes {sum(long['indexes_mb'].values()):.0f} MB"
    found, control = (took.format(one["ms_p50"], sum(one["cpu_ms"].values())) for one in (long, short))
    yield f"admit 64 of {long['waiting']:,}", found + size, f"of 1,000: {control}", "1.5 times", load
    spent = line["publishing_us_of_cpu"]
    costs = [f"{spent[name]['producer']:.0f} µs, {spent[name]['all']:.0f} with the servers" for name in _PUBLISHING]
    times = f"; {spent['times_delay_producer']:g} times, {spent['times_delay_all']:g} with the servers"
    yield "admit and publish one, CPU", costs[0] + times, f"`delay()`: {costs[1]}", "5 times", load


def _in_flight() -> Iterator[_Part]:
    line = newest("in_flight")
    ours, plain = line["sides"]["Likeness"], line["sides"]["plain"]
    lag = f"p50 {ours['lag_s']['p50']:g} s, p99 {ours['lag_s']['p99']:g} s"
    held = f"{plain['messages_held']:,} messages held" if "messages_held" in plain else "–"
    load = line["machine"]["load"]
    yield f"{line['jobs']:,} jobs of ten minutes: how late a look is", lag, held, "p99 5 s", load
    found, control = (f"{one['memory_mb']['now']:.0f} MB" for one in (ours, plain))
    yield "the same: memory of the io worker", found, f"`self.retry`: {control}", "250 MB", load
    yield "the same: looks a second that one io worker carries", f"{ours['looks_per_s_at_most']:g}", "–", "", load


def _collect() -> Iterator[_Part]:
    line = newest("collect")
    for ending in ("png", "jpeg", "webp", "avif"):
        one = line[ending]
        found, control = (f"{one['cpu_ms'][name]:g} ms" for name in ("collect", "bare"))
        share = f"; {one['share_of_bare_by_cpu']:.0%} of bare"
        load = line["machine"]["load"]
        yield f"collect {ending} of 1024 px, CPU", found + share, f"decode and resize: {control}", "80 %", load


def _promises() -> Iterator[_Part]:
    line = newest("promises")
    load = line["machine"]["load"]
    yield "ledger and events, share of all CPU", f"{line['share_of_cpu']:.0%}", "the same without", "25 %", load
    half = next(one["half_load"] for one in line["rounds"] if "half_load" in one)
    took = half["ms"]["made to judged"]
    found = f"p50 {took['p50']:g} ms, p99 {took['p99']:g} ms, model included"
    yield f"provider done to verdict, at {half['per_s']:g}/s", found, "–", "p50 300 ms, p99 1.5 s", load


def _fair_share() -> Iterator[_Part]:
    line = newest("scale")
    for provider, took in line.get("small_behind_large_s", {}).items():
        found = f"{took['fair share']:g} s, {took['fair share'] / took['alone']:.2f} times of alone"
        control = f"first in, first out: {took['first in, first out']:,.0f} s"
        yield f"28 behind 100,000, {provider}, simulated", found, control, "1.2 times", line["machine"]["load"]


def _rate_limit() -> Iterator[_Part]:
    line = newest("rate_limit")
    told = "{per_s:g}/s, {most_in_a_closed_second} in the fullest closed second"
    runs = {(one["consumer"], one["workers"]): told.format(**one) for one in line["result"] if "per_s" in one}
    for workers in sorted({count for _, count in runs}):
        control = f"stock: {runs['stock', workers]}"
        yield f"20/s, {workers} workers", runs["shared", workers], control, "19.6 to 20", line.get("load", 0.0)


def _enqueue() -> Iterator[_Part]:
    line = newest("enqueue")
    found = f"{line['enqueue_per_s']:,}/s; {line['times_delay']:g} times"
    control = f"`delay()`: {line['delay_per_s']:,}/s; bare `COPY`: {line['bare_copy_per_s']:,}/s"
    aim, load = "40,000/s and 20 times", line["load_before"]
    yield f"enqueue {line['prompts']:,} prompts, durable", found, control, aim, load
    memory = f"{line['memory_mb']:g} MB above a run with {line['prompts']:,}"
    yield f"memory of {line['memory_prompts']:,} prompts from a generator", memory, "–", "60 MB", load


def _status() -> Iterator[_Part]:
    line = newest("status")
    few, many = line["batches"]
    load = line["machine"]["load"]
    reads = [
        f"{one['read_ms']['p50']:g} ms; with its start {one['command']['cpu_s']:g} s of CPU" for one in (many, few)
    ]
    yield (
        f"`status` of {many['generations']:,} generations",
        reads[0],
        f"of {few['generations']}: {reads[1]}",
        "300 ms",
        load,
    )
    demo = line["demo"]
    yield "`demo`, start to the first accepted picture", f"{demo['first_accepted_s']:g} s", "–", "", load


_PARTS = {
    "enqueue": _enqueue,
    "status": _status,
    "admission": _admission,
    "in_flight": _in_flight,
    "collect": _collect,
    "promises": _promises,
    "scale": _fair_share,
    "rate_limit": _rate_limit,
}


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
