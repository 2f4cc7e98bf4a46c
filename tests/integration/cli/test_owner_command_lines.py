"""The command lines of the owner's earlier pipeline, read from a table: each runs as it was written."""

import csv
import json
import shlex
from pathlib import Path

import pytest

from db.schema import generations
from pipeline.intake.prompt_file import read_prompts
from pipeline.intake.prompt_rows import PromptRows
from tests.support.books import Books
from tests.support.command_line import CommandLine

ROOT = Path(__file__).parents[3]
PROMPTS = ROOT / "examples" / "lulu-pig" / "prompts.csv"
REFERENCES = sorted((ROOT / "examples" / "lulu-pig" / "references").glob("*.png"))
with (ROOT / "tests" / "data" / "owner_command_lines.csv").open(encoding="utf-8", newline="") as _file:
    LINES = list(csv.DictReader(_file))


def _arguments(line: dict[str, str]) -> list[str]:
    about = [str(PROMPTS)] if line["command"] == "run" else ["lulu"]
    return [line["command"], *about, *shlex.split(line["flags"]), "--provider", "sandbox"]


@pytest.mark.parametrize("line", LINES, ids=lambda line: f"{line['script']} {line['flags']}")
def test_a_command_line_costs_what_the_owner_s_plan_says(
    likeness: CommandLine, books: Books, line: dict[str, str]
) -> None:
    if line["command"] == "cref-test":
        likeness.document("character", "add", "lulu", *map(str, REFERENCES))
    said = likeness.document(*_arguments(line), *([] if "--dry-run" in line["flags"] else ["--dry-run"]))
    assert (str(said["total"]), said["expected_usd"]) == (line["images"], line["usd"])
    assert books.rows(generations) == []


@pytest.mark.parametrize("line", [one for one in LINES if one["command"] == "run"], ids=lambda line: line["flags"])
def test_a_flag_reaches_every_row(likeness: CommandLine, books: Books, line: dict[str, str]) -> None:
    flags = [one for one in shlex.split(line["flags"]) if one != "--dry-run"]
    # Nobody is behind the addresses of the references here.
    likeness.document("enqueue", str(PROMPTS), *flags, "--provider", "sandbox", "--no-look")
    rows = books.rows(generations)
    assert len(rows) == int(line["images"])
    wanted = json.loads(line["settings"])
    for row in rows:
        (own,) = (one.settings for one in _prompts() if row.prompt.startswith(one.prompt))
        assert row.settings == {**wanted, **own}


def _prompts() -> PromptRows:
    return read_prompts(PROMPTS)
