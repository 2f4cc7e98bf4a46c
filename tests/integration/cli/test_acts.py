"""`acts`: what is done on the command line and in scripts is written down once, with who did it, as the API's is."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import likeness as scripts
from db.moves import submission
from domain.errors import MaybeSent
from tests.support.books import USER, Books
from tests.support.command_line import CommandLine


@pytest.fixture
def prompts(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SANDBOX_BASE_URL", "http://127.0.0.1:9")
    path = home / "farm.csv"
    path.write_text("prompt\na pig\na cow\n", encoding="utf-8")
    return path


def done(likeness: CommandLine, *of: str) -> list[tuple[str, dict[str, Any]]]:
    """Acts and what they say, the first first; whose they are is the same for all."""
    found = likeness.document("acts", *of)["acts"]
    assert {(act["actor"], act["key"]) for act in found} <= {(USER, None)}
    return [(act["act"], {name: said for name, said in act["detail"].items() if said}) for act in reversed(found)]


def test_what_is_enqueued_is_an_act_and_so_is_another_budget(likeness: CommandLine, prompts: Path) -> None:
    command = ("enqueue", prompts, "--provider", "sandbox", "--name", "farm")
    assert likeness(*command, "--dry-run").code == 0
    likeness.document(*command, "--max-cost", "3")
    likeness.document(*command)
    likeness.document(*command, "--max-cost", "9")
    assert done(likeness, "farm") == [
        ("enqueued", {"new": 2, "limitUsd": "3.00"}),
        ("enqueued", {}),
        ("enqueued", {"limitUsd": "9.00"}),
    ]


def test_what_a_script_does_is_an_act_too(likeness: CommandLine, prompts: Path, home: Path) -> None:
    Image.new("RGB", (16, 16), "pink").save(home / "lulu.png")
    with scripts.connect() as connection:
        connection.enqueue(prompts, provider="sandbox", name="farm", max_cost=3)
        connection.add_character("lulu", [home / "lulu.png"])
        connection.export_character("lulu", home / "kept")
        connection.import_character(home / "kept", replace=True)
    assert done(likeness, "farm") == [("enqueued", {"new": 2, "limitUsd": "3.00"})]
    assert [act for act, _ in done(likeness)] == ["character added", "character changed"]


def test_characters_are_added_changed_and_removed_by_somebody(likeness: CommandLine, home: Path) -> None:
    Image.new("RGB", (16, 16), "pink").save(home / "lulu.png")
    for _ in range(2):
        likeness.document("character", "add", "lulu", home / "lulu.png")
        likeness.document("character", "set", "lulu", "--core", "0.9")
    likeness.document("character", "export", "lulu", home / "kept")
    likeness.document("character", "remove", "lulu")
    likeness.document("character", "import", home / "kept")
    added = {"character": "lulu", "references": 1}
    put = {"character": "lulu", "core": 0.9, "style": 0.6, "aggregation": "max", "version": 2}
    assert done(likeness) == [
        ("character added", {**added, "version": 1}),
        ("character changed", put),
        ("character changed", {**added, "version": 2}),
        ("character removed", {"character": "lulu"}),
        ("character added", {**added, "version": 1}),
    ]


def test_limits_are_set_and_removed_by_somebody(likeness: CommandLine, books: Books) -> None:
    books.lane()
    likeness.document("limits", "set", "5", "--user", "ana")
    likeness.document("limits", "set", "7", "--lane", "sandbox")
    likeness.document("limits", "remove", "--user", "ana")
    likeness.document("limits", "set", "6", "--user", "eve", "--team", "shop")
    assert done(likeness) == [
        ("limit set", {"user": "ana", "limitUsd": "5.00"}),
        ("limit set", {"lane": "sandbox", "limitUsd": "7.00"}),
        ("limit removed", {"user": "ana"}),
    ]
    assert done(likeness, "--team", "shop") == [("limit set", {"user": "eve", "limitUsd": "6.00"})]


def test_a_doubt_is_settled_by_somebody(likeness: CommandLine, books: Books) -> None:
    attempt_id, token = books.submitting(name="farm")
    with books.database.transaction() as connection:
        submission.doubt(connection, attempt_id, token=token, failure=MaybeSent("the reply is lost"))
    likeness("doubts", "settle", str(attempt_id), "--lost")
    likeness("doubts", "settle", str(attempt_id), "--paid", "job-7", "--unchecked")
    about = {"attempt": str(attempt_id)}
    assert done(likeness, "farm") == [
        ("doubt settled", {**about, "as": "lost", "outcome": "released"}),
        ("doubt settled", {**about, "as": "paid", "job": "job-7", "unchecked": True, "outcome": "job_adopted"}),
    ]
