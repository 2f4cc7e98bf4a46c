"""`cref-test` and `compare`: what they cost, what is made, and what the page dares to say."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest
from PIL import Image

from db.schema import generations
from domain.ids import CharacterId
from pipeline.comparison.cases import five_cases, rows_of_cases
from pipeline.comparison.results import as_json, comparison_of
from pipeline.intake.commit import commit
from pipeline.intake.order import Order
from pipeline.intake.plan import prepare
from pipeline.intake.prompt_rows import rows_of
from pipeline.views import status
from reports.comparison_page import Comparison, write_comparison
from tests.support.books import USER
from tests.support.command_line import CommandLine
from tests.support.finished import collect, judge, picture
from tests.support.steps import StepRunner

#: The core score of the one picture of each case, in the order of the five.
ScoresOf = Callable[[int], Sequence[float]]


@pytest.fixture
def lulu(likeness: CommandLine, tmp_path: Path) -> CharacterId:
    for name in ("one.png", "two.png"):
        Image.new("RGB", (16, 16), "pink" if name == "one.png" else "plum").save(tmp_path / name)
    return CharacterId(UUID(likeness.document("character", "add", "lulu", "one.png", "two.png")["id"]))


def test_a_reference_test_is_a_dry_run_of_two_dollars_unless_it_is_to_be_made(
    likeness: CommandLine, lulu: CharacterId
) -> None:
    said = likeness.document("cref-test", "lulu", "--provider", "sandbox")
    assert (said["dry_run"], said["total"], said["expected_usd"], said["at_most_usd"]) == (True, 5, "2.00", "2.00")
    assert said["cases"] == ["no reference", "weight 50", "weight 75", "weight 100", "2 references"]
    ended = likeness("cref-test", "lulu", "--provider", "sandbox", "--dry-run", "--repeats", "2")
    assert ended.code == 0
    assert "5 cases × 1 prompt × 2 repeats = 10 images" in ended.out
    assert "nothing was spent" in ended.out
    assert likeness("list").err.startswith("error: there is no batch yet"), "nothing was enqueued"


def test_one_repeat_is_said_to_recommend_nothing_before_it_is_paid(likeness: CommandLine, lulu: CharacterId) -> None:
    assert "recommends none; --repeats 6 (about 12.00 USD)" in likeness("cref-test", "lulu", "--provider=sandbox").out
    assert "recommends none" not in likeness("cref-test", "lulu", "--provider=sandbox", "--repeats=6").out


def test_only_the_actual_run_needs_a_key(likeness: CommandLine, lulu: CharacterId) -> None:
    asked = (
        "cref-test",
        "lulu",
        "--cref-urls",
        "https://img.example/a.png",
        "--cref-urls",
        "https://img.example/b.png",
    )
    assert likeness.document(*asked)["expected_usd"] == "2.00", "five images of the owner's own provider at 0.40"
    assert "TTAPI_API_KEY" in likeness("cref-test", "lulu", "--actual-run").err


def test_a_dry_run_prices_references_that_have_no_address_yet(likeness: CommandLine, lulu: CharacterId) -> None:
    """As on the first day, without a key, a bucket or an address: the price is said, and what is still missing."""
    ended = likeness("cref-test", "lulu")
    assert (ended.code, "would cost about 2.00 USD" in ended.out) == (0, True)
    assert "before pictures are made: the references of 'lulu' have no address that 'ttapi' could read" in ended.err
    Path("one.csv").write_text("prompt\na pig\n")
    assert likeness("run", "one.csv", "--character=lulu", "--dry-run").code == 0


def test_models_modes_and_wordings_are_compared_by_columns(likeness: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "farm.csv").write_text("prompt\na pig\na cow\n")
    said = likeness.document(
        "compare",
        "farm.csv",
        "--provider=sandbox",
        "--case",
        "mode=fast",
        "--case",
        "painted: mode=relax prompt='{}, watercolour'",
    )
    assert (said["total"], said["cases"], said["prompts"]) == (4, ["mode=fast", "painted"], 2)
    assert "2 to 20 cases" in likeness.refused("compare", "farm.csv", "--provider=sandbox", "--case", "mode=fast")


def _made(runner: StepRunner, home: Path, lulu: CharacterId, *, repeats: int, scores: ScoresOf) -> Comparison:
    """A reference test whose pictures were judged with these scores."""
    rows = list(rows_of_cases(list(rows_of(["<script>alert(1)</script> a pig"])), five_cases(2), repeats=repeats))
    order = Order(
        name="test",
        user_id=USER,
        provider="sandbox",
        prompts=rows,
        model="midjourney-v6.1",
        character="lulu",
        settings={"cref_urls": ["https://a.example/1.png", "https://a.example/2.png"]},
        look=False,  # nobody is behind these addresses
    )
    plan = prepare(runner.resources, order)
    asked = [one.settings.get("cref_urls") for one in plan.rows()][:5]
    assert asked == [None, *[["https://a.example/1.png"]] * 3, ["https://a.example/1.png", "https://a.example/2.png"]]
    runner.books.sql("UPDATE lanes SET concurrency = 1000")
    commit(runner.resources, plan)
    rows_by_id = {row.id: row for row in runner.books.rows(generations)}
    judged = 0
    attempts = runner.sent.take("submit")
    while attempts:
        for attempt_id in attempts:
            row = rows_by_id[runner.books.attempt(attempt_id).generation_id]
            collect(runner.books, attempt_id, picture(home, "pink"))
            judge(runner.books, attempt_id, lulu, scores(row.position // 5)[row.position % 5])
            judged += 1
        attempts = runner.admit()
    assert judged == len(rows_by_id) == 5 * repeats
    return comparison_of(runner.resources, status.find(runner.resources, "test", user_id=USER))


def test_the_page_says_which_weight_where_its_lead_is_beyond_chance(
    runner: StepRunner, lulu: CharacterId, home: Path, tmp_path: Path
) -> None:
    found = _made(
        runner,
        home,
        lulu,
        repeats=6,
        scores=lambda repeat: [0.2 + repeat / 50, 0.5, 0.7, 0.95 - repeat / 100, 0.8 + repeat / 100],
    )
    assert found.decided
    assert found.conclusion[0] == "Use weight 100: its core score is higher than that of every other case."
    hundred = next(one for one in found.cases if one.name == "weight 100")
    assert (hundred.accepted, hundred.judged, hundred.asked) == (
        6,
        6,
        "midjourney-v6.1, cref_urls https://a.example/1.png, cref_weight 100, references 1",
    )
    assert hundred.usd_per_accepted == hundred.charged_usd / 6 == Decimal("0.02")
    assert next(one for one in found.cases if one.name == "weight 50").usd_per_accepted is None
    assert len(found.rounds) == 6
    write_comparison(found, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Use weight 100" in page
    assert "<script" not in page, "a prompt is text"
    assert "http-equiv" in page
    document = as_json(found)
    assert document["decided"]
    assert [one["certain"] for one in document["differences"]] == [True] * 4


def test_of_cases_that_chance_may_have_ordered_the_cheapest_is_taken_for_now(
    runner: StepRunner, lulu: CharacterId, home: Path
) -> None:
    found = _made(
        runner,
        home,
        lulu,
        repeats=6,
        scores=lambda repeat: [0.1, 0.5, 0.9 + repeat % 3 / 100, 0.92 - repeat % 2 / 50, 0.9 + repeat % 2 / 50],
    )
    assert not found.decided
    assert found.conclusion[0].startswith("No winner: ")
    assert {"weight 75", "weight 100", "2 references"} == {
        name for name in (one.name for one in found.cases) if name in found.conclusion[0]
    }
    assert found.conclusion[-1] == "Until more is known take weight 75: none of them is cheaper per accepted image."


def test_the_page_recommends_nothing_at_one_repeat(runner: StepRunner, lulu: CharacterId, home: Path) -> None:
    found = _made(runner, home, lulu, repeats=1, scores=lambda _: [0.1, 0.5, 0.7, 0.99, 0.8])
    assert not found.decided
    assert found.conclusion[0].startswith("No recommendation: too few pictures.")
    assert [one.mean for one in found.cases] == [0.1, 0.5, 0.7, 0.99, 0.8], "the scores are shown all the same"
    assert all(one.span is None for one in found.cases)


def test_a_batch_that_compares_nothing_is_no_comparison(runner: StepRunner) -> None:
    runner.enqueue("a pig", name="plain")
    with pytest.raises(Exception, match="compares nothing"):
        comparison_of(runner.resources, status.find(runner.resources, "plain", user_id=USER))
