"""Run every benchmark that needs no accelerator, and renew the tables of the documentation from what they found.

Each one appends its own line to `results/`, with its own control in the same run; see README.md of this folder. A
benchmark that fails or takes too long is named, and the others still run.
Command: `make bench`.
"""

import subprocess
import sys
import time
from pathlib import Path
from typing import Final

ROOT = Path(__file__).parents[1]
#: Module and arguments, the longest first.
BENCHMARKS: Final = (
    ("bench_whole_path", "--count=1500"),
    ("bench_in_flight",),
    ("bench_promises", "--count=300"),
    ("bench_overhead", "--count=30", "--rounds=3"),
    ("bench_admission", "1000000", "2000"),
    ("bench_scale_out", "--count=100"),
    ("bench_rate_limit",),
    ("bench_listeners",),
    ("scale",),
    ("bench_collect",),
    ("bench_scoring", "--shape=b32"),
    ("bench_near_duplicates",),
    ("bench_enqueue", "100000", "200000"),
    ("bench_status",),
    ("bench_workbook",),
    ("bench_style",),
    ("bench_routing",),
    ("bench_preference",),
    ("bench_analysis",),
    ("bench_long_pictures",),
    ("bench_enhancement",),
)
_LONGEST_S: Final = 900


def main() -> None:
    failed = [name for name, *arguments in BENCHMARKS if not _ran(name, arguments)]
    subprocess.run([sys.executable, "-m", "tools.generate_docs"], cwd=ROOT, check=True)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def _ran(name: str, arguments: list[str]) -> bool:
    began = time.monotonic()
    try:
        ended = subprocess.run(
            [sys.executable, "-m", f"benchmarks.{name}", *arguments], cwd=ROOT, timeout=_LONGEST_S, check=False
        )
        verdict = "ended" if ended.returncode == 0 else f"failed with {ended.returncode}"
    except subprocess.TimeoutExpired:
        verdict = f"stopped after {_LONGEST_S} s"
    sys.stdout.write(f"== {name}: {verdict}, {time.monotonic() - began:.0f} s\n")
    sys.stdout.flush()
    return verdict == "ended"


if __name__ == "__main__":
    main()
