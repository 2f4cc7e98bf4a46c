"""Further tries on the command line: asked for when enqueuing or afterwards, told by `show`, refused in a sentence."""

from pathlib import Path

import pytest

from db.schema import batches, generations
from tests.support.books import Books
from tests.support.command_line import CommandLine
from tests.support.finished import collect, judge, picture


def test_a_policy_stands_beside_the_settings_and_a_row_has_its_own(
    likeness: CommandLine, books: Books, tmp_path: Path
) -> None:
    file = tmp_path / "farm.csv"
    file.write_text('prompt,Max tries,escalate\na pig,,\na cow,2,"weight, model"\n', encoding="utf-8")
    asked = ("--provider", "sandbox", "--max-tries", "3", "--escalate", "weight,action")
    assert likeness.document("enqueue", file, *asked)["new"] == 2
    (batch,) = books.rows(batches)
    assert batch.try_policy == {"max_tries": 3, "escalate": ["weight", "action"]}
    pig, cow = sorted(books.rows(generations), key=lambda row: row.position)
    assert (pig.try_policy, cow.try_policy) == ({}, {"max_tries": 2, "escalate": ["weight", "model"]})
    assert (batch.settings, pig.settings, cow.settings) == ({}, {}, {})

    file.write_text("prompt,max_tries\na pig,5\na cow,\n", encoding="utf-8")
    again = likeness.document("enqueue", file, "--provider", "sandbox", "--max-tries", "1")
    assert (again["new"], again["known"]) == (0, 2)
    (batch,) = books.rows(batches)
    assert batch.try_policy == {"max_tries": 1, "escalate": ["weight", "action"]}
    pig, cow = sorted(books.rows(generations), key=lambda row: row.position)
    assert (pig.try_policy, cow.try_policy) == ({"max_tries": 5}, {})


def test_a_dry_run_says_that_there_may_be_further_tries(likeness: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "farm.csv"
    file.write_text("prompt\na pig\n", encoding="utf-8")
    said = likeness("run", file, "--provider", "sandbox", "--max-tries", "4", "--dry-run")
    assert "each may come to 4 tries" in said.out
    assert "without --max-cost" in said.err
    assert "without a character nothing is rejected" in said.err
    assert likeness.document("run", file, "--provider=sandbox", "--max-tries=4", "--dry-run")["max_tries"] == 4


@pytest.mark.parametrize(
    ("content", "options", "says"),
    [
        ("prompt\na pig\n", ["--escalate", "weight,luck"], "escalate knows no 'luck'"),
        ("prompt,max_tries\na pig,0\n", [], "line 2: max_tries is 0"),
        ("prompt,max_tries\na pig,many\n", [], "line 2: max_tries in 'farm.csv' is 'many'"),
        ("prompt,escalate\na pig,size\n", [], "line 2: escalate knows no 'size'"),
    ],
)
def test_a_policy_that_cannot_be_is_refused(
    likeness: CommandLine, tmp_path: Path, content: str, options: list[str], says: str
) -> None:
    file = tmp_path / "farm.csv"
    file.write_text(content, encoding="utf-8")
    assert says in likeness.refused("enqueue", file, "--provider", "sandbox", *options)


def test_rejected_ones_are_taken_up_by_a_policy_that_comes_later(
    likeness: CommandLine, books: Books, home: Path
) -> None:
    attempt_id = books.admitted(name="farm", character=(lulu := books.character()), settings={"cref_weight": 25})
    collect(books, attempt_id, picture(home, "pink"))
    judge(books, attempt_id, lulu, 0.5)
    assert likeness.document("retry", "farm", "--max-tries", "1")["nothing_left"] == 1
    taken = likeness.document("retry", "farm", "--max-tries", "2", "--escalate", "weight")
    assert (taken["retried"], taken["nothing_left"]) == (1, 0)
    said = likeness.document("show", "farm/0")
    assert said["tries"] == ["2nd try: cw 25 → 50: on its way"]
    (asked,) = [one for one in said["history"] if one["actor"] == "closed loop"]
    assert (asked["from_state"], asked["to_state"], asked["reason"]) == ("rejected", "queued", "try 2: cw 25 → 50")
    assert "2nd try: cw 25 → 50: on its way" in likeness("show", "farm/0").out


def test_a_policy_is_for_rejected_ones_alone(likeness: CommandLine, books: Books) -> None:
    books.lane()
    books.batch(name="farm")
    refused = likeness.refused("retry", "farm", "--state", "failed", "--max-tries", "3")
    assert "are for rejected ones" in refused
