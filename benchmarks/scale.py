"""What happens to millions of prompts of a hundred tenants on ten lanes, and what breaks first?

Hypothesis: the decisions of `db.moves.fair_share`, which a real admission carries out, keep every lane busy to the end,
let no batch wait behind a large one, and never hand out more than a budget holds.
Control in the same run: the same arrivals, lanes and budgets, first in, first out.
A simulation in steps of one second, which is beat's tick: batches arrive, lanes take what their rate, their places and
the scheduler allow, jobs end after a drawn time, some fail and wait again. Only the scheduler is real: queues are
counters, and nothing touches Postgres. Limits and prices are those of `docs/providers.md`; sizes, arrivals and failures
are assumed, and drawn from one seed.
Command: `python -m benchmarks.scale [--prompts N] [--seed N]`; appends a line to results/scale.jsonl, and with ten
million prompts or more (about six minutes of one core) draws docs/scale-waits.webp.
"""

import argparse
import json
import resource
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import matplotlib as mpl
import numpy as np

from benchmarks.bench_whole_path import circumstances
from db.moves.fair_share import Budget, Head, Places, choose

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "scale.jsonl"
PLOT = ROOT / "docs" / "scale-waits.webp"
#: The run that docs/scale.md shows; a smaller one leaves its plot alone.
DOCUMENTED: Final = 10_000_000
TENANTS: Final = 100
SMALL: Final = 28
LARGE: Final = 100_000
DAY_S: Final = 86_400
_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_FAILS: Final = 0.02

Chooser = Callable[..., tuple[list[tuple[Head, str]], dict[UUID, float]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Limits of one lane.

    Args:
        rate: submissions a second.
        places: jobs in flight at most.
        job_s: how long a job takes, in the mean.
    """

    rate: float
    places: int
    job_s: float

    @property
    def jobs_per_s(self) -> float:
        """What it can carry."""
        return min(self.rate, self.places / self.job_s)


#: The published limits where there are any (Replicate: 600 predictions a minute; OpenAI: 250 images a minute in the
#: highest tier), the defaults of `TTAPI_*` where there are none.
ACCOUNTS: Final = {
    **{f"ttapi-{n}": Account(rate=1.0, places=10, job_s=60.0) for n in range(4)},
    **{f"replicate-{n}": Account(rate=10.0, places=200, job_s=12.0) for n in range(3)},
    **{f"openai-{n}": Account(rate=250 / 60, places=200, job_s=35.0) for n in range(3)},
}
#: What a job costs, and what is held for it.
PRICES: Final = {
    "ttapi": (Decimal("0.07"), Decimal("0.40")),
    "replicate": (Decimal("0.04"), Decimal("0.04")),
    "openai": (Decimal("0.053"), Decimal("0.07")),
}


@dataclass(slots=True, eq=False)
class Batch:
    """A batch of prompts, as counters.

    Args:
        waiting: prompts that are queued.
        budget: its limit, and what is charged and held.
    """

    head: Head
    provider: str
    arrives_s: int
    size: int
    budget: Budget
    waiting: int = 0
    live: int = 0
    done: int = 0
    ended_s: int | None = None

    @property
    def stopped(self) -> bool:
        return self.waiting > 0 and self.live == 0 and not self.budget.fits(self.head.hold_usd)


@dataclass(slots=True, kw_only=True)
class Line:
    """A lane while it runs: places in use, submissions saved up, and who ends when."""

    account: Account
    live: int = 0
    tokens: float = 0.0
    ends: dict[int, dict[Batch, int]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(int)))
    submitted: int = 0


def work_of(prompts: int, seed: int) -> list[Batch]:
    """Large batches of a hundred tenants, most of them within a day, and a small one every minute or so."""
    dice = np.random.default_rng(seed)
    share = {name: sum(each.jobs_per_s for each in _lanes_of(name)) for name in PRICES}
    total = sum(share.values())
    sizes = {name: int(prompts * part / total) for name, part in share.items()}
    batches: list[Batch] = []
    for provider, wanted in sizes.items():
        left = wanted
        while left > 0:
            small = dice.random() < 0.95
            size = min(left, SMALL if small else int(np.clip(dice.lognormal(10.5, 1.2), 100, 300_000)))
            arrives = int(dice.uniform(0, 2 * DAY_S if small else DAY_S) * prompts / 10_000_000)
            batches.append(_batch(dice, provider, size, arrives, number=len(batches)))
            left -= size
    return sorted(batches, key=lambda one: one.arrives_s)


def _lanes_of(provider: str) -> list[Account]:
    return [account for name, account in ACCOUNTS.items() if name.startswith(provider)]


def _batch(dice: np.random.Generator, provider: str, size: int, arrives_s: int, *, number: int) -> Batch:
    price, hold = PRICES[provider]
    # A few tenants have most of the work, as everywhere.
    tenant = f"tenant {int(TENANTS * dice.random() ** 3)}"
    limit = price * size * Decimal("0.7") if dice.random() < 0.1 and size > SMALL else None
    head = Head(
        id=UUID(int=number),
        batch_id=UUID(int=number),
        team=tenant,
        user_id=tenant,
        priority=int(dice.choice([1, 2, 4], p=[0.9, 0.07, 0.03])),
        last_pass=None,
        model=provider,
        hold_usd=hold,
        price_usd=price,
        changes={},
        updated_at=_NOW,
    )
    budget = Budget(limit=limit, used=Decimal(0), stopped=False, paused=False)
    return Batch(head, provider, arrives_s, size, budget)


def first_in_first_out(
    queues: dict[UUID, Sequence[Head]], budgets: dict[UUID, Budget], places: Places
) -> tuple[list[tuple[Head, str]], dict[UUID, float]]:
    """The control: the batch that came first has everything until it waits for nothing more."""
    chosen: list[tuple[Head, str]] = []
    for batch_id, queue in queues.items():
        for head in queue:
            lane = places.take(head, budgets[batch_id])
            if lane is None:
                break
            chosen.append((head, lane))
        if not places.any_left():
            break
    return chosen, {}


class Run:
    """The whole system with one scheduler."""

    def __init__(self, batches: Sequence[Batch], chooser: Chooser, *, seed: int, looks_at: int | None = None) -> None:
        self.lines = {name: Line(account=account) for name, account in ACCOUNTS.items()}
        self.decisions, self.decide_s, self.most_open = 0, 0.0, 0
        self.batches = [replace(one, budget=replace(one.budget)) for one in batches]
        self._chooser, self._looks_at = chooser, looks_at
        self._dice = np.random.default_rng(seed)
        self._luck = self._durations()
        self._open: dict[str, dict[UUID, Batch]] = {name: {} for name in PRICES}
        self._passes: dict[UUID, float] = {}

    def to_the_end(self, *, of_last: bool = False) -> int:
        """Run until nothing waits that may go on, or until the last batch is done; returns the seconds it took."""
        coming = iter([*self.batches, None])
        following = next(coming)
        second = 0
        while True:
            while following is not None and following.arrives_s <= second:
                following.waiting = following.size
                self._open[following.provider][following.head.batch_id] = following
                following = next(coming)
            self._end_jobs(second)
            for provider in PRICES:
                self._admit(provider, second)
            self.most_open = max(self.most_open, sum(map(len, self._open.values())))
            if following is None and not any(line.live for line in self.lines.values()):
                return second
            if of_last and self.batches[-1].ended_s is not None:
                return second
            second += 1

    def _end_jobs(self, second: int) -> None:
        for line in self.lines.values():
            for batch, number in line.ends.pop(second, {}).items():
                failed = int(self._dice.binomial(number, _FAILS))
                line.live -= number
                batch.live -= number
                batch.waiting += failed
                batch.done += number - failed
                # The hold goes back, and what succeeded is charged.
                batch.budget.used += (number - failed) * batch.head.price_usd - number * batch.head.hold_usd
                if batch.waiting:
                    self._open[batch.provider].setdefault(batch.head.batch_id, batch)
                elif batch.live == 0:
                    batch.ended_s = second

    def _admit(self, provider: str, second: int) -> None:
        free = {name: self._free(line) for name, line in self.lines.items() if name.startswith(provider)}
        wanted = sum(free.values())
        # Whoever came after the first few has no turn in the control.
        open_ = dict(islice(self._open[provider].items(), self._looks_at)) if wanted else {}
        if not open_:
            return
        queues = {key: [self._head(one)] * min(wanted, one.waiting) for key, one in open_.items()}
        budgets = {key: one.budget for key, one in open_.items()}
        began = time.perf_counter()
        chosen, passes = self._chooser(queues, budgets, Places(free, {}))
        self.decide_s += time.perf_counter() - began
        self.decisions += len(chosen)
        self._passes |= passes
        counts = Counter((head.batch_id, lane) for head, lane in chosen)
        for (key, lane), number in counts.items():
            self._send(open_[key], self.lines[lane], number, second)
        for key, one in open_.items():
            if one.budget.handed:
                one.budget.used += one.budget.handed
                one.budget.handed = Decimal(0)
            elif one.budget.blocked_by is None:
                continue  # it had no turn, and is as it was
            one.budget.blocked_by = None
            # One that has no money left waits for what comes back of its holds.
            if not one.waiting or one.stopped:
                del self._open[provider][key]

    def _head(self, batch: Batch) -> Head:
        last_pass = self._passes.get(batch.head.batch_id)
        if batch.head.last_pass != last_pass:
            batch.head = replace(batch.head, last_pass=last_pass)
        return batch.head

    def _free(self, line: Line) -> int:
        line.tokens = min(line.tokens, 1.0) + line.account.rate
        return max(0, min(int(line.tokens), line.account.places - line.live))

    def _send(self, batch: Batch, line: Line, number: int, second: int) -> None:
        line.live += number
        line.tokens -= number
        line.submitted += number
        batch.waiting -= number
        batch.live += number
        mean = line.account.job_s
        for _ in range(number):
            line.ends[second + max(1, round(mean * next(self._luck)))][batch] += 1

    def _durations(self) -> Iterator[float]:
        """How long each job takes, in means; drawn by the thousand, since one alone costs ten times as much."""
        while True:
            yield from self._dice.gamma(9.0, 1 / 9.0, size=10_000).tolist()


def figures(run: Run, took_s: int) -> dict[str, Any]:
    """What a run shows about time, fairness and money."""
    small = np.array(sorted(_waits(run)))
    work = sum(one.done for one in run.batches)
    best = max(
        sum(one.done for one in run.batches if one.provider == name) / sum(each.jobs_per_s for each in _lanes_of(name))
        for name in PRICES
    )
    over = [one for one in run.batches if one.budget.limit is not None and one.budget.used > one.budget.limit]
    return {
        "prompts_done": work,
        "hours": round(took_s / 3600, 2),
        "hours_at_full_lanes": round(best / 3600, 2),
        "small_batches": len(small),
        "small_batch_minutes": {
            name: round(float(np.percentile(small, part)) / 60, 1)
            for name, part in (("p50", 50), ("p99", 99), ("max", 100))
        },
        "charged_usd": str(sum((one.budget.used for one in run.batches), Decimal(0))),
        "batches": len(run.batches),
        "stopped_by_budget": sum(one.stopped for one in run.batches),
        "over_budget": len(over),
        "most_open_batches": run.most_open,
        "microseconds_per_decision": round(1e6 * run.decide_s / max(1, run.decisions), 1),
    }


def _waits(run: Run) -> Iterator[int]:
    for one in run.batches:
        if one.size == SMALL and one.ended_s is not None:
            yield one.ended_s - one.arrives_s


def behind_a_large_one() -> dict[str, dict[str, float]]:
    """Seconds that a batch of 28 takes, ten minutes after one of 100,000 began, by provider and scheduler."""
    arms: dict[str, tuple[Chooser, int, int]] = {
        "alone": (choose, 0, 1),
        "fair share": (choose, LARGE, 1),
        # As fast as it can be without taking places away from jobs that run.
        "every free place": (choose, LARGE, 100),
        "first in, first out": (first_in_first_out, LARGE, 1),
    }
    return {provider: {name: _small_one_s(provider, *arm) for name, arm in arms.items()} for provider in PRICES}


def _small_one_s(provider: str, chooser: Chooser, large: int, priority: int) -> float:
    took = []
    for seed in range(1 if chooser is first_in_first_out else 5):
        dice = np.random.default_rng(seed)
        first = _batch(dice, provider, large, 0, number=0)
        small = _batch(dice, provider, SMALL, 600, number=1)
        for one, weight in ((first, 1), (small, priority)):
            one.head, one.budget.limit = replace(one.head, priority=weight), None
        run = Run([first, small] if large else [small], chooser, seed=seed)
        took.append(run.to_the_end(of_last=True) - small.arrives_s)
    return round(float(np.mean(took)), 1)


def draw(waits: dict[str, list[int]]) -> None:
    """How long small batches took, by scheduler."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axis = plt.subplots(figsize=(8, 4), layout="constrained")
    for name, values in waits.items():
        ordered = np.sort(np.array(values)) / 60
        axis.plot(ordered, np.linspace(0, 100, len(ordered)), label=name)
    axis.set_xscale("log")
    axis.set_xlabel("minutes from arrival to the last picture of a batch of 28")
    axis.set_ylabel("% of those batches")
    axis.grid(visible=True, alpha=0.3)
    axis.legend()
    figure.savefig(PLOT)


def main() -> None:
    parser = argparse.ArgumentParser(description="Ten million prompts on ten lanes.")
    parser.add_argument("--prompts", type=int, default=DOCUMENTED)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    batches = work_of(asked.prompts, asked.seed)
    sides: dict[str, Any] = {}
    waits: dict[str, list[int]] = {}
    for name, chooser, looks_at in (("fair share", choose, None), ("first in, first out", first_in_first_out, 50)):
        began = time.process_time()
        run = Run(batches, chooser, seed=asked.seed, looks_at=looks_at)
        sides[name] = figures(run, run.to_the_end()) | {"simulated_in_cpu_s": round(time.process_time() - began)}
        waits[name] = list(_waits(run))
        print(name, json.dumps(sides[name]), flush=True)
    record = {
        **circumstances(),
        "prompts": asked.prompts,
        "seed": asked.seed,
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "small_behind_large_s": behind_a_large_one(),
        "sides": sides,
    }
    if asked.prompts >= DOCUMENTED:
        draw(waits)
    with RESULTS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
