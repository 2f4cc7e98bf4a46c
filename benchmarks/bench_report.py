"""The HTML report of 10,000 generations beside one of 28: how soon does a browser show it, how large, with what memory?

Question: does a report of 10,000 generations open at once, as one of 28 does, and how long does one filter take?
Hypothesis: cards are text until somebody scrolls to them and thumbnails are files, so loading takes less than a second
more, although the page is some hundred times as large.
Control: the report of 28 and an empty page, in the same run and browser. The first round is thrown away.
Run: python benchmarks/bench_report.py [GENERATIONS [ROUNDS]]; needs Chromium; appends a line to results/report.jsonl.
"""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from statistics import median
from typing import Any

from PIL import Image

from domain.states import GenerationState
from reports.contact_sheet import write_report
from reports.records import AssetLine, GenerationLine, Report

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).parent / "results" / "report.jsonl"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--no-first-run",
    "--enable-precise-memory-info",
    "--enable-logging=stderr",
    "--host-resolver-rules=MAP * ~NOTFOUND",
)
ROUNDS = 3
BEGAN = datetime(2026, 11, 21, 14, 3, tzinfo=UTC)
#: Notes in the root element when the page is loaded and laid out, its memory, and how long one choice of a filter takes
#: until its cards are laid out. The page's own policy, which forbids every other script, is taken out for it.
MEASURE = """<script>addEventListener("load", () => {
  document.body.getBoundingClientRect();
  document.documentElement.dataset.tookms = performance.now().toFixed(0);
  document.documentElement.dataset.heap = performance.memory.usedJSHeapSize;
  document.documentElement.dataset.cards = document.documentElement.dataset.made ?? 0;
  const began = performance.now();
  document.querySelector("[data-show=rejected]")?.click();
  document.body.getBoundingClientRect();
  document.documentElement.dataset.filterms = (performance.now() - began).toFixed(0);
});</script>"""


def report_of(number: int, pictures: Sequence[Path]) -> Report:
    """A batch of which every eighth generation is rejected, with prompts as long as a studio's."""

    def line(position: int) -> GenerationLine:
        core = 0.6 + (position * 37 % 400) / 1000
        asset = AssetLine(
            position=0,
            path=pictures[position % len(pictures)],
            width=512,
            height=512,
            best=True,
            core=core,
            core_threshold=0.65,
            style=0.7,
            style_threshold=0.6,
            passed=core >= 0.65,
        )
        return GenerationLine(
            position=position,
            prompt=f"row {position}: a pink pig in a yellow raincoat at the sea, soft light, {'long grass, ' * 10}",
            theme=f"Theme {position % 12}",
            variation=str(position % 7),
            state=GenerationState.COMPLETED if core >= 0.65 else GenerationState.REJECTED,
            characters=["Lulu"],
            cost_usd=Decimal("0.40"),
            assets=[asset],
        )

    lines = [line(position) for position in range(number)]
    accepted = sum(one.state is GenerationState.COMPLETED for one in lines)
    return Report(
        batch_id="b",
        name="bench",
        title="bench",
        created_at=BEGAN,
        wall_s=float(number),
        character="Lulu",
        counts={"completed": accepted, "rejected": number - accepted},
        total=number,
        accepted=accepted,
        charged_usd=Decimal("0.40") * number,
        generations=lines,
        spend=[(BEGAN + timedelta(seconds=at), Decimal("0.40") * at) for at in range(0, number, max(number // 500, 1))],
    )


def measured(browser: str, page: Path, profile: Path) -> dict[str, Any]:
    """One visit: what the page says of itself, and what the console said."""
    html = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page.read_text(encoding="utf-8"))
    copy = page.with_name(f"measured-{page.name}")
    copy.write_text(html.replace("</body>", f"{MEASURE}</body>"), encoding="utf-8")
    command = [browser, *OPTIONS, f"--user-data-dir={profile}", "--dump-dom", copy.as_uri()]
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    wall = time.perf_counter() - began
    root = re.search(r"<html[^>]*>", done.stdout)
    said = dict(re.findall(r'data-([a-z]+)="([^"]*)"', root[0] if root else ""))
    return {
        "shown_ms": int(said["tookms"]),
        "filter_ms": int(said["filterms"]),
        "heap_mib": round(int(said["heap"]) / 2**20, 1),
        "wall_s": round(wall, 2),
        "cards_made": int(said["cards"]),
        "pictures_broken": int(said.get("broken", 0)),
        "requests": int(said.get("requests", 0)),
        "console": len(re.findall(r"CONSOLE", done.stderr)),
    }


def visit(browser: str, page: Path, profile: Path, *, rounds: int) -> dict[str, Any]:
    """Medians of several visits; the first one is thrown away."""
    visits = [measured(browser, page, profile) for _ in range(rounds + 1)][1:]
    return {name: median(one[name] for one in visits) for name in visits[0]}


def written(number: int, folder: Path, pictures: Sequence[Path]) -> tuple[Path, dict[str, Any]]:
    page = folder / f"report-{number}.html"
    began = time.perf_counter()
    beside = write_report(report_of(number, pictures), page)
    took = time.perf_counter() - began
    files = [] if beside is None else list(beside.iterdir())
    return page, {
        "generations": number,
        "write_s": round(took, 2),
        "page_mib": round(page.stat().st_size / 2**20, 2),
        "thumbnails": len(files),
        "thumbnails_mib": round(sum(one.stat().st_size for one in files) / 2**20, 2),
    }


def main() -> None:
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else ROUNDS
    browser = next(found for name in BROWSERS if (found := shutil.which(name)))
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        pictures = []
        for shade in range(16):
            pictures.append(folder / f"{shade}.png")
            Image.linear_gradient("L").rotate(shade * 20).resize((512, 512)).convert("RGB").save(pictures[-1])
        empty = folder / "empty.html"
        empty.write_text("<!doctype html><html><body></body></html>", encoding="utf-8")
        results: dict[str, Any] = {"empty": visit(browser, empty, folder / "profile", rounds=rounds)}
        for size in (28, number):
            page, figures = written(size, folder, pictures)
            results[str(size)] = figures | visit(browser, page, folder / "profile", rounds=rounds)
    line = results | {
        "rounds": rounds,
        "commit": subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
        ).stdout.strip(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
    }
    with RESULTS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
    print(json.dumps(line, indent=1))


if __name__ == "__main__":
    main()
