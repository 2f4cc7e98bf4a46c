"""`status`, `list`, `show`, `cost`, `lanes`, `models`, `doctor`: what is looked at is what the books say."""

from decimal import Decimal
from pathlib import Path

import pytest
from PIL import Image

from db.records import lanes
from domain.errors import OutOfMoney, QueueFull
from domain.retry import closing_reason
from domain.states import GenerationState
from tests.support.books import A_MINUTE, Books
from tests.support.command_line import CommandLine
from tests.support.finished import collect, judge, picture


def _completed(books: Books, home: Path, name: str = "farm", *, prompts: int = 1) -> None:
    """A batch whose first generation is completed; the others wait."""
    books.lane()
    books.batch(prompts, name=name, limit="5")
    (one,) = books.admit(places={"sandbox": 1})
    assert collect(books, one.attempt_id, picture(home, "pink")) is GenerationState.COMPLETED


def test_the_status_of_a_batch_has_every_promised_name(likeness: CommandLine, books: Books, home: Path) -> None:
    _completed(books, home, prompts=3)
    said = likeness.document("status", "farm")
    assert set(said["counts"]) == {state.value for state in GenerationState}
    assert (said["total"], said["accepted"], said["counts"]["queued"]) == (3, 1, 2)
    assert (said["charged_usd"], said["held_usd"], said["in_doubt_usd"]) == ("0.02", "0.00", "0.00")
    assert (said["limit_usd"], said["remaining_usd"], said["avg_cost_per_image_usd"]) == ("5.00", "4.98", "0.02")
    assert {"batch_id", "name", "wall_s", "report"} <= set(said)
    assert likeness.document("status", said["batch_id"])["name"] == "farm", "an id will do"
    assert likeness.document("status", said["batch_id"][:13])["name"] == "farm", "and the start of an id"


def test_the_status_for_people_fits_80_columns_and_says_how_to_go_on(
    likeness: CommandLine, books: Books, home: Path
) -> None:
    _completed(books, home, prompts=3)
    books.sql("UPDATE batches SET stopped_reason = 'budget'")
    ended = likeness("status")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("farm  1 of 3 final")
    assert "\x1b" not in ended.out, "no colours where nobody wants them"
    assert "`likeness resume farm --max-cost USD`" in ended.out
    assert max(map(len, ended.out.splitlines())) <= 80


def test_without_a_name_the_latest_batch_is_meant(likeness: CommandLine, books: Books) -> None:
    assert "there is no batch yet" in likeness.refused("status")
    books.batch(1, name="first")
    books.batch(1, name="second")
    assert likeness.document("status")["name"] == "second"
    assert likeness.document("list")["name"] == "second"


def test_a_list_is_in_the_order_of_the_file_and_comes_in_pages(likeness: CommandLine, books: Books, home: Path) -> None:
    _completed(books, home, prompts=5)
    first = likeness.document("list", "farm", "--limit", "2")
    rest = likeness.document("list", "farm", "--limit", "9", "--offset", "2")
    assert (first["total"], first["limit"], rest["offset"]) == (5, 2, 2)
    rows = [*first["generations"], *rest["generations"]]
    assert [row["position"] for row in rows] == [0, 1, 2, 3, 4]
    assert likeness("list", "farm", "--state", "in_doubt").out == "farm: no generation of it is in doubt\n"
    waiting = likeness.document("list", "farm", "--state", "queued")
    assert (waiting["total"], len(waiting["generations"])) == (4, 4)
    assert {row["status"] for row in waiting["generations"]} == {"pending"}


def test_a_list_for_people_cuts_long_prompts_and_names_the_next_page(likeness: CommandLine, books: Books) -> None:
    books.batch(3, name="farm")
    books.sql("UPDATE generations SET prompt = repeat('a very long prompt ', 100), theme = repeat('theme ', 30)")
    out = likeness("list", "farm", "--limit", "2").out
    assert all(len(line) <= 80 for line in out.splitlines()[:3])
    assert out.count("…") >= 2
    assert "1 to 2 of 3; `--offset 2` goes on" in out
    assert "none of 3" in likeness("list", "farm", "--offset", "7").out


def test_a_story_tells_attempts_assets_and_verdicts_and_no_secret(
    likeness: CommandLine, books: Books, home: Path
) -> None:
    character = books.character()
    attempt_id = books.admitted(name="farm", character=character)
    collect(books, attempt_id, picture(home, "pink"), picture(home, "teal", 1))
    judge(books, attempt_id, character, 0.9, 0.7)
    said = likeness.document("show", "farm/0")
    attempt = books.attempt(attempt_id)
    assert said["state"] == "completed"
    assert said["cost"] == "0.02"
    assert [one["job_id"] for one in said["attempts"]] == [attempt.job_id]
    assert [one["best"] for one in said["assets"]] == [True, False]
    assert all(Path(one["path"]).is_file() for one in said["assets"])
    assert sorted(one["core"] for one in said["verdicts"]) == [0.7, 0.9]
    assert said["verdicts"][0]["threshold_origin"] == "default"
    assert likeness.document("show", said["id"]) == said
    told = likeness("show", "farm/0", "--json").out + likeness("show", "farm/0").out
    assert attempt.token not in told
    assert "passed, best" in told
    assert "not passed" in told
    (line,) = likeness.document("list", "farm")["generations"]
    assert (line["core"], line["picture"]) == (0.9, said["assets"][0]["path"])


def test_a_row_that_has_changed_names_the_generations_it_stands_for(likeness: CommandLine, books: Books) -> None:
    books.batch(2, name="farm")
    books.sql("UPDATE generations SET position = 0")
    said = likeness.refused("show", "farm/0")
    assert all(str(row["id"]) in said for row in likeness.document("list", "farm")["generations"])
    assert "has no row 7" in likeness.refused("show", "farm/7")


def test_costs_have_the_names_of_the_owner(likeness: CommandLine, books: Books, home: Path) -> None:
    assert likeness.document("cost")["avg_cost_per_image"] is None
    _completed(books, home, "farm")
    _completed(books, home, "beach", prompts=2)
    said = likeness.document("cost")
    assert (said["images_generated"], said["total_cost"], said["avg_cost_per_image"]) == (2, "0.04", "0.02")
    assert [one["name"] for one in said["batches"]] == ["beach", "farm"]
    assert sum(Decimal(one["total_cost"]) for one in said["batches"]) == Decimal(said["total_cost"])
    assert {one["limit_usd"] for one in said["batches"]} == {"5.00"}
    assert likeness.document("cost", "--since", "2999-01-01")["batches"] == []
    assert "$0.04" in likeness("cost").out


def test_lanes_say_their_limits_what_is_in_flight_and_what_went_wrong(likeness: CommandLine, books: Books) -> None:
    books.generating()
    with books.database.transaction() as connection:
        lanes.note_error(connection, "sandbox", QueueFull("the queue is full"))
        lanes.close(connection, "sandbox", reason="the queue is full", wait=A_MINUTE)
    (lane,) = likeness.document("lanes")["lanes"]
    assert (lane["name"], lane["open"], lane["in_flight"], lane["reason"]) == ("sandbox", False, 1, "the queue is full")
    assert lane["last_error"] == "the queue is full"
    out = likeness("lanes").out
    assert "closed for" in out
    assert "1 of 10" in out


def test_what_waits_for_a_lane_is_counted_and_why_it_waits_is_said(likeness: CommandLine, books: Books) -> None:
    books.lane("sandbox")
    books.batch(prompts=3, name="parked")
    assert "lane sandbox" not in likeness("status", "parked").out
    with books.database.transaction() as connection:
        reason = closing_reason(OutOfMoney("[out_of_money] 402: Insufficient credit"))
        lanes.close(connection, "sandbox", reason=reason, wait=A_MINUTE)
    (lane,) = likeness.document("lanes")["lanes"]
    assert (lane["waiting"], lane["reason"]) == (3, "out_of_money: 402: Insufficient credit")
    said = likeness("status", "parked").out
    assert "s: out_of_money: 402: Insufficient credit; `likeness lanes open sandbox` opens it" in said
    books.lane("sandbox-2")
    assert {one["waiting"] for one in likeness.document("lanes")["lanes"]} == {3}, "the lanes of a provider share them"
    assert "lane sandbox" not in likeness("status", "parked").out, "another lane of the provider is open"


def test_a_person_closes_opens_and_limits_a_lane(likeness: CommandLine, books: Books) -> None:
    (closed,) = likeness.document("lanes", "close", "sandbox", "--reason", "new prices")["lanes"]
    assert (closed["open"], closed["reason"]) == (False, "new prices")
    assert "closed until opened: new prices" in " ".join(likeness("lanes").out.split())
    (opened,) = likeness.document("lanes", "open", "sandbox")["lanes"]
    assert (opened["open"], opened["reason"], opened["closed_until"]) == (True, None, None)
    (limited,) = likeness.document("lanes", "set", "sandbox", "--rate", "60/m", "--concurrency", "5")["lanes"]
    assert (limited["rate_limit"], limited["concurrency"]) == ("60/m", 5)
    likeness("status")
    (kept,) = likeness.document("lanes")["lanes"]
    assert kept["rate_limit"] == "60/m", "the settings of the environment do not take it back"


def test_models_need_no_server(likeness: CommandLine, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.delenv("DATABASE_URL")
    monkeypatch.delenv("REDIS_URL")
    said = likeness.document("models", "--provider", "sandbox", "--on", "2026-11-21")
    (default, *_) = said["models"]
    assert (default["name"], default["price_usd"], default["estimate"]) == ("midjourney", "0.40", True)
    assert "sandbox" in default["served_by"]
    assert list(home.iterdir()) == [], "nothing was started, and nothing was written"


def test_models_tell_every_price_with_its_source_and_its_time(likeness: CommandLine) -> None:
    said = {model["name"]: model for model in likeness.document("models", "--on", "2026-05-01")["models"]}
    dall_e = said["dall-e-3"]
    assert (dall_e["formats"], dall_e["expected_s"]) == (["png"], {"usual": 20.0})
    assert {(one["size"], one["quality"]): one["usd"] for one in dall_e["prices"]} == {
        ("1024x1024", "standard"): "0.04",
        ("1024x1024", "hd"): "0.08",
        ("1792x1024", "standard"): "0.08",
        ("1792x1024", "hd"): "0.12",
        ("1024x1792", "standard"): "0.08",
        ("1024x1792", "hd"): "0.12",
    }
    assert {(one["from"], one["until"]) for one in dall_e["prices"]} == {(None, "2026-05-12")}
    flux = said["black-forest-labs/flux-2-pro"]["prices"][1]
    assert flux == {
        "size": "1 MP",
        "quality": None,
        "mode": None,
        "usd": "0.03",
        "at_most_usd": "0.045",
        "usd_per_reference_mp": "0.015",
        "estimate": False,
        "from": None,
        "until": None,
        "source": "replicate.com model page, 2026-09-24",
    }
    assert [(one["mode"], one["estimate"]) for one in said["midjourney"]["prices"]] == [
        ("relax", True),
        ("fast", True),
        ("turbo", True),
    ]
    assert said["midjourney"]["expected_s"] == {"relax": 300.0, "fast": 60.0, "turbo": 30.0}
    assert len(said["gpt-image-2"]["prices"]) == 4 * 4
    assert said["runwayml/gen4-image"]["prices"] == []


def test_models_die_on_their_day_and_name_their_successors(likeness: CommandLine) -> None:
    before = likeness.document("models", "--live", "--on", "2025-12-01")["models"]
    after = likeness.document("models", "--on", "2026-11-21")["models"]
    assert "dall-e-3" in {model["name"] for model in before}
    (dead,) = [model for model in after if model["name"] == "dall-e-3"]
    assert not dead["live"]
    assert dead["successor"] in {model["name"] for model in after}
    assert all(model["references"] for model in likeness.document("models", "--references")["models"])
    out = likeness("models").out
    assert max(map(len, out.splitlines())) <= 80
    assert "~$0.40" in out


def test_a_character_is_added_changed_and_shown(likeness: CommandLine, tmp_path: Path) -> None:
    Image.new("RGB", (64, 48), "pink").save(tmp_path / "lulu.png")
    Image.new("RGB", (32, 32), "teal").save(tmp_path / "side.png")
    made = likeness.document("character", "add", "lulu", "lulu.png", "--description", "a pig")
    assert made["thresholds"] == {
        "core": 0.75,
        "style": 0.6,
        "style_decides": True,
        "version": 1,
        "origin": "default",
        "aggregation": "max",
        "in_words": "core 0.750, style 0.600; default threshold",
    }
    assert [(one["width"], one["height"]) for one in made["references"]] == [(64, 48)]
    changed = likeness.document("character", "add", "lulu", "lulu.png", "side.png", "--core", "0.8")
    assert changed["id"] == made["id"]
    assert (changed["thresholds"]["version"], changed["thresholds"]["origin"]) == (2, "set by a person")
    shown = likeness.document("character", "show", "lulu")
    assert [one["version"] for one in shown.pop("threshold_versions")] == [2, 1]
    assert shown == changed
    listed = {name: value for name, value in changed.items() if name != "spread"}
    assert likeness.document("character", "list") == {"characters": [listed]}
    assert Path(changed["references"][0]["path"]).is_file()
    assert "set by a person" in likeness("character", "show", "lulu").out
    assert "no character 'lola'" in likeness.refused("character", "show", "lola")


def test_an_overdue_job_is_named_with_its_age_and_what_can_be_done(
    likeness: CommandLine, books: Books, tmp_path: Path
) -> None:
    books.lane()
    books.batch(2, name="farm")
    late, early = books.admit(places={"sandbox": 2})
    for one in (late, early):
        books.accept(one.attempt_id, books.claim(one.attempt_id))
    assert likeness.document("status", "farm")["overdue"] == []
    books.sql(
        "UPDATE attempts SET accepted_at = now() - interval '9 minutes', deadline_at = now() - interval '1 second'"
        f" WHERE id = '{late.attempt_id}'"
    )
    (said,) = likeness.document("status", "farm")["overdue"]
    assert (said["row"], said["job_id"]) == (0, books.attempt(late.attempt_id).job_id)
    assert 540 <= said["age_s"] < 600
    assert "farm/0 is overdue" in likeness("status", "farm").out
    assert "`likeness cancel` its batch" in likeness("status", "farm").out
    checks = {one["name"]: one for one in likeness.document("doctor", code=likeness("doctor").code)["checks"]}
    assert checks["jobs"]["found"] == "1 overdue"
    assert "farm/0 is overdue" in checks["jobs"]["advice"]
    assert "`likeness cancel` its batch" in checks["jobs"]["advice"]
    likeness("report", "farm")
    assert "farm/0 is overdue: job" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_bucket_configured_by_half_stops_nothing_that_looks(
    likeness: CommandLine, monkeypatch: pytest.MonkeyPatch, books: Books, home: Path
) -> None:
    _completed(books, home)
    generation = likeness.document("list")["generations"][0]["id"]
    for name in ("R2_ACCESS_KEY_ID", "R2_SECRET_ACCESS_KEY", "R2_BUCKET_NAME"):
        monkeypatch.setenv(name, "given")
    monkeypatch.setenv("R2_CDN_URL", "https://pictures.example.com")
    for looking in (("status",), ("list",), ("cost",), ("show", generation)):
        ended = likeness(*looking)
        assert (ended.code, ended.err) == (0, ""), ended
    (found,) = [one for one in likeness.document("doctor")["checks"] if one["name"] == "bucket"]
    assert found["health"] == "note"
    assert "R2_ACCOUNT_ID" in found["advice"]
    assert likeness("character", "list").code == 0
