"""What a run of the crash driver did and found; one line of `benchmarks/results/crash.jsonl`."""

import dataclasses
import os
import subprocess
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from tests.support.commands import ROOT


@dataclasses.dataclass(slots=True)
class Record:
    """What a run did and found.

    Args:
        kills, stops: by kind of process.
        points: fault points that were armed and ended a worker.
        copies: messages that were published again while a worker held them.
        bucket_away: how often the bucket hung or refused for a while.
        linked: prompts with a reference behind a link that only its signature opens.
        settled_by_person: doubts at a service without a listing, settled by what the bill says.
        canceled: batches that the person gave up.
        raised: limits of the user's month or a lane's day that the person raised.
        found_late: jobs that turned up after their doubt had been settled as lost.
        wires: the outcome per service.
        samples: looks at the limits of batches, user and lanes.
        breaches: sentences; empty when the promise was kept.
    """

    seed: int
    minutes: float
    kills: Counter[str] = dataclasses.field(default_factory=Counter)
    stops: Counter[str] = dataclasses.field(default_factory=Counter)
    points: Counter[str] = dataclasses.field(default_factory=Counter)
    copies: int = 0
    bucket_away: int = 0
    linked: int = 0
    settled_by_person: int = 0
    canceled: int = 0
    raised: int = 0
    found_late: int = 0
    batches: int = 0
    generations: int = 0
    wires: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    samples: int = 0
    breaches: list[str] = dataclasses.field(default_factory=list)

    def _plain(self, name: str) -> Any:
        value = getattr(self, name)
        return dict(value) if isinstance(value, Counter) else value

    def as_json(self) -> dict[str, Any]:
        commit = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
        )
        return {
            "question": "is anything lost, paid twice or overspent while processes die?",
            "command": f"make crash SEED={self.seed} MINUTES={self.minutes:g}",
            "commit": commit.stdout.strip(),
            "machine": f"{os.cpu_count()} cores",
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            **{one.name: self._plain(one.name) for one in dataclasses.fields(self)},
            "total_kills": sum(self.kills.values()),
            "total_stops": sum(self.stops.values()),
            "total_points": sum(self.points.values()),
        }
