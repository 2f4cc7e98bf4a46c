"""The log that the owner's scripts read."""

import csv
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from reports.generation_log import GrowingLog, write_log
from reports.records import Report


def test_the_log_has_the_columns_of_the_owner_in_their_order(report: Callable[..., Report], tmp_path: Path) -> None:
    path = tmp_path / "reports" / "batch_generation_log.csv"
    write_log(report(), path)
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert " ".join(header) == (
        "index theme variation prompt task_id status image_url local_path duration cost timestamp error"
    )
    assert [row[0] for row in rows] == ["1", "2", "3", "4", "5", "6"]
    assert [row[5] for row in rows] == ["completed", "failed", "failed", "completed", "failed", "pending"]


def test_a_row_tells_what_it_cost_and_why_it_failed(report: Callable[..., Report], tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    write_log(report(), path)
    with path.open(newline="", encoding="utf-8") as file:
        first, second, third, *_ = csv.DictReader(file)
    assert (first["cost"], first["duration"], first["timestamp"]) == ("0.04", "12.0", "2026-11-21T14:03:00+00:00")
    assert Path(first["local_path"]).is_file()
    assert first["error"] == ""
    assert second["error"].startswith("Off model: core 0.01 below its threshold")
    assert third["error"] == "content_refused: The provider refused it"


def test_a_prompt_that_begins_like_a_formula_is_a_text(report: Callable[..., Report], tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    made = report()
    first, *others = made.generations
    formula = replace(first, prompt='=HYPERLINK("http://a.example")', theme="@theme")
    write_log(replace(made, generations=[formula, *others]), path)
    with path.open(newline="", encoding="utf-8") as file:
        row = next(csv.DictReader(file))
    assert (row["prompt"], row["theme"]) == ('\'=HYPERLINK("http://a.example")', "'@theme")


def test_a_log_grows_by_whole_lines_and_begins_anew(report: Callable[..., Report], tmp_path: Path) -> None:
    path = tmp_path / "reports" / "log.csv"
    lines = report().generations
    log = GrowingLog(path)
    assert _rows(path) == []
    log.append(lines[:1])
    log.append(lines[1:3])
    assert [row["status"] for row in _rows(path)] == ["completed", "failed", "failed"]
    whole = tmp_path / "whole.csv"
    write_log(replace(report(), generations=lines[:3]), whole)
    assert path.read_bytes() == whole.read_bytes(), "line by line what the log of a finished batch says"
    GrowingLog(path)
    assert _rows(path) == []


def test_a_writer_that_is_killed_leaves_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    script = (
        "from pathlib import Path; from domain.states import GenerationState as S; import sys\n"
        "from reports.generation_log import GrowingLog; from reports.records import GenerationLine\n"
        f"log = GrowingLog(Path({str(path)!r}))\n"
        "for n in range(10**6):\n"
        "    log.append([GenerationLine(position=n, prompt='a\\npig, ' * 500, state=S.COMPLETED)])\n"
        "    print(n, flush=True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        told = [int(writer.stdout.readline()) for _ in range(20)]
        writer.kill()
    rows = _rows(path)
    assert path.read_bytes().endswith(b"\r\n")
    assert len(rows) > told[-1], "whatever was said to be written is there"
    assert {len(row["prompt"]) for row in rows} == {len("a\npig, " * 500)}


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
