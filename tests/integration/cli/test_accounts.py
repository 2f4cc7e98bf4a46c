"""On the command line: prompts checked before a batch, and what an account says of itself in the list of lanes."""

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import pytest

from db.records import lanes
from db.schema import batches, generations
from tests.support.books import Books
from tests.support.command_line import CommandLine


@pytest.fixture
def given(sandbox_url: str) -> Mapping[str, str]:
    return {"SANDBOX_BASE_URL": sandbox_url}


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    path = tmp_path / "farm.txt"
    path.write_text("a pig\na nude pig\na pink pig\n")
    return path


def test_a_batch_with_a_prompt_that_would_be_refused_is_not_enqueued(
    likeness: CommandLine, books: Books, prompts: Path
) -> None:
    said = likeness.refused("enqueue", prompts, "--provider", "sandbox", "--check-prompts")
    assert said == (
        "the provider refuses 1 of the prompts, and nothing was enqueued: line 2 (banned prompt words: nude);"
        " --skip-refused leaves them out"
    )
    assert books.rows(batches) == []


def test_what_would_be_refused_may_be_left_out_and_is_named(likeness: CommandLine, books: Books, prompts: Path) -> None:
    call = ("enqueue", prompts, "--provider", "sandbox", "--skip-refused")
    assert likeness.document(*call, "--dry-run")["total"] == 2
    ended = likeness(*call)
    assert ended.code == 0
    assert "left out, since the provider refuses them: line 2 (banned prompt words: nude)" in ended.err
    assert sorted(row.prompt for row in books.rows(generations)) == ["a pig", "a pink pig"]
    prompts.write_text("a nude pig\n")
    assert "refuses all of the prompts" in likeness.refused(*call)


def test_a_batch_whose_prompts_pass_is_enqueued(likeness: CommandLine, books: Books, prompts: Path) -> None:
    prompts.write_text("a pig\na pink pig\n")
    ended = likeness("enqueue", prompts, "--provider", "sandbox", "--check-prompts")
    assert ended.code == 0
    assert "2 prompts have passed the provider's check" in ended.err
    assert len(books.rows(batches)) == 1


def test_the_list_of_lanes_shows_what_the_account_says(likeness: CommandLine, books: Books) -> None:
    books.lane(concurrency=10)
    (row,) = likeness.document("lanes")["lanes"]
    assert (row["concurrency_origin"], row["balance_usd"], row["account_jobs"]) == ("setting", None, None)
    assert "not said" in likeness("lanes").out
    with books.database.transaction() as connection:
        before = lanes.note_account(
            connection, "sandbox", balance_usd=Decimal("12.5"), held_usd=Decimal("0.04"), jobs=5
        )
    assert before is None
    (row,) = likeness.document("lanes")["lanes"]
    assert (row["concurrency"], row["concurrency_origin"], row["account_jobs"]) == (5, "account", 5)
    assert (row["balance_usd"], row["account_held_usd"]) == ("12.50", "0.04")
    assert "12.50" in likeness("lanes").out
