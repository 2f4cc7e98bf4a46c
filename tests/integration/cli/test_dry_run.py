"""What `--dry-run` says: approval, themes, prices, times, and how far the budget goes."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from db.schema import lanes
from tests.support.books import Books
from tests.support.command_line import CommandLine
from tests.support.finished import collect, picture

_ROWS = [f"a pig {n},theme {n // 4},{n % 4},{'approved' if n < 20 else 'draft'}" for n in range(28)]


@pytest.fixture
def given() -> Mapping[str, str]:
    """No key of any provider."""
    return {}


@pytest.fixture
def prompts(tmp_path: Path) -> str:
    (tmp_path / "prompts.csv").write_text("\n".join(["prompt,theme,variation,status", *_ROWS]))
    return "prompts.csv"


def test_it_needs_no_key_and_leaves_no_lane_behind(likeness: CommandLine, books: Books, prompts: str) -> None:
    for provider in ("ttapi", "replicate", "openai", "sandbox"):
        said = likeness.document("run", prompts, "--provider", provider, "--dry-run")
        assert (said["total"], said["dry_run"]) == (28, True)
    assert books.rows(lanes) == []
    assert "TTAPI_API_KEY is not set" in likeness.refused("run", prompts, code=3)


def test_it_says_what_the_owner_s_dry_run_said(likeness: CommandLine, prompts: str) -> None:
    said = likeness.document("run", prompts, "--dry-run", "--mode", "relax")
    assert (said["approved"], said["unapproved"], said["approval_rate"], said["left_out"]) == (20, 8, 0.714286, 0)
    assert (len(said["themes"]), said["variations"]) == (7, 4)
    (model,) = said["models"]
    assert (model["model"], model["mode"], model["rows"], model["usd_each"]) == ("midjourney", "relax", 28, "0.40")
    assert (model["usual_s"], model["usual_from"]) == (300, "catalogue")
    assert said["budget"]["suffices"] is None
    shown = likeness("run", prompts, "--dry-run").out
    assert "20 of 28 rows are approved (71 %); --approved-only would leave out 8 that are not" in shown
    assert "7 themes × 4 variations: theme 0, theme 1" in shown
    assert "no budget is set" in shown


def test_rows_that_are_not_approved_are_counted_and_left_out(likeness: CommandLine, prompts: str) -> None:
    said = likeness.document("run", prompts, "--dry-run", "--approved-only")
    assert (said["total"], said["approved"], said["left_out"], said["expected_usd"]) == (20, 20, 8, "8.00")
    assert (len(said["themes"]), said["variations"]) == (5, 4)


def test_it_says_after_which_row_the_budget_stops(likeness: CommandLine, prompts: str) -> None:
    reach = likeness.document("run", prompts, "--dry-run", "--max-cost", "5")["budget"]
    assert (reach["suffices"], reach["short_usd"]) == (False, "6.20")
    assert (reach["stops_after_row"], reach["stops_after_line"]) == (11, 13), "12 of 0.40 fit into 5.00"
    assert "would stop after row 11 (line 13)" in likeness("run", prompts, "--dry-run", "--max-cost", "5").out
    assert likeness.document("run", prompts, "--dry-run", "--max-cost", "11.20")["budget"]["suffices"] is True


def test_finishing_is_priced_and_counts_against_the_budget(likeness: CommandLine, prompts: str) -> None:
    said = likeness.document("run", prompts, "--dry-run", "--finish", "upscale", "--max-cost", "20")
    assert (said["expected_usd"], said["finishing_usd"], said["at_most_usd"]) == ("11.20", "22.40", "33.60")
    assert (said["budget"]["suffices"], said["budget"]["finishing_short_usd"]) == (True, "13.60")
    shown = likeness("run", prompts, "--dry-run", "--finish", "upscale", "--max-cost", "20").out
    assert "for finishing all of them it can be 13.60 USD short" in " ".join(shown.split())
    assert "finishing the pictures is at most 22.40 USD" in " ".join(shown.split())


def test_what_a_batch_has_used_counts_and_what_jobs_took_here_is_the_time(
    likeness: CommandLine, books: Books, home: Path, prompts: str
) -> None:
    books.lane()
    books.batch(6, name="prompts", limit="11.20")
    for one in books.admit(places={"sandbox": 6}):
        collect(books, one.attempt_id, picture(home, "pink"))
    books.sql("UPDATE attempts SET intent_at = made_at - interval '42 seconds'")
    books.sql("UPDATE attempts SET provider = 'ttapi', model = 'midjourney'")
    said = likeness.document("run", prompts, "--dry-run", "--max-cost", "11.20")
    assert said["budget"]["suffices"] is False
    assert said["budget"]["used_usd"] != "0"
    (model,) = said["models"]
    assert (model["usual_s"], model["usual_from"]) == (42, "the median of the last 6 jobs here")
