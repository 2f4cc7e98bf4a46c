"""The log that the owner's scripts read."""

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from reports.generation_log import write_log
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
