"""How long does the product itself take between a picture that is handed in and the one that comes out?

Hypothesis: beside the service's own time and the model's look at the picture, below 300 ms in the median.
What counts as the product's: the whole time of a generation, from its row to its end, without the stages `analysis`
(the model) and `generation` (the call). The service is the sandbox's wire of OpenAI, which answers within the call, so
that no time between two looks at a job is in the figure. What remains is the hops between workers over Redis, the
admission, the store, and every commit on the way.
Control: the same from words alone, which skips the stages and their hop to the worker that has the model.
Embedded servers, a worker of each role, one generation at a time; the first round is thrown away.
Command: `python -m benchmarks.bench_from_image [--count N]`; appends to results/from_image.jsonl.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import likeness
from runtime.sandbox_settings import sandbox_settings
from runtime.settings import Settings
from sandbox.drawing.picture import draw
from sandbox.process import running

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "from_image.jsonl"
LATENCY_S = 0.5
PROVIDER = "openai"
ELSEWHERE = ("analysis", "generation")


def told(made: likeness.Generation, *, whole_ms: float) -> dict[str, float]:
    """Milliseconds of each stage, and those that no service and no model took."""
    stages = {str(one["name"]): float(one["took_ms"] or 0) for one in made.stages if one["outcome"] != "off"}
    return {**stages, "whole": whole_ms, "orchestration": whole_ms - sum(stages.get(one, 0) for one in ELSEWHERE)}


def rounds(connection: likeness.Connection, count: int, **wish: Any) -> list[dict[str, float]]:
    found = []
    for _ in range(count + 1):
        made = connection.generate(provider=PROVIDER, timeout=400, **wish)
        if not made.accepted:
            raise RuntimeError(f"generation {made.id} is {made.state}: {made.error}")
        assert made.completed_at is not None
        found.append(told(made, whole_ms=(made.completed_at - made.created_at).total_seconds() * 1000))
    return found[1:]


def figures(found: Sequence[dict[str, float]]) -> dict[str, dict[str, float]]:
    names = list(dict.fromkeys(name for one in found for name in one))
    return {
        name: {
            "median_ms": round(statistics.median(one.get(name, 0) for one in found), 1),
            "p90_ms": round(statistics.quantiles([one.get(name, 0) for one in found], n=10)[8], 1),
        }
        for name in names
    }


def _git(*argv: str) -> str:
    return subprocess.run(["git", *argv], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description="The product's own time from a picture to a picture.")
    parser.add_argument("--count", type=int, default=20)
    count = parser.parse_args().count
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        folder.chmod(0o711)
        photo = folder / "photo.jpg"
        scene = "a fox in a red dress on a sunny beach"
        draw(scene, references=[], weight=0, seed=3, variation=0, size=(800, 1000)).convert("RGB").save(photo)
        with running(folder / "sandbox", latency_s=LATENCY_S, size_px=512, concurrency=20) as url:
            settings = sandbox_settings(Settings(), url).model_copy(
                update={"home": folder / "home", "clip_model": str(ROOT / "sandbox" / "clip"), "clip_device": "cpu"}
            )
            with likeness.connect(settings) as connection:
                sides = {
                    "from_image": figures(rounds(connection, count, image=photo)),
                    "from_words": figures(rounds(connection, count, prompt=scene)),
                }
    record = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "--short", "HEAD") + ("-dirty" if _git("status", "--porcelain") else ""),
        "machine": {"cpus": os.cpu_count(), "load": os.getloadavg()[0], "python": platform.python_version()},
        "count": count,
        "sides": sides,
    }
    print(json.dumps(record, indent=1))
    with RESULTS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
