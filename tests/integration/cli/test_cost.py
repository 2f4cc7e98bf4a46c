"""`cost --by`: whatever it is summed by, it is the ledger's money to the cent."""

import csv
import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from PIL import Image
from sqlalchemy import func, select

from db.moves import by_person, submission
from db.schema import ledger_entries
from domain.errors import ContentRefused, MaybeSent
from domain.ids import CharacterId
from domain.money import show
from domain.states import GenerationState
from likeness import connect as likeness_here
from pipeline.views.spending_sums import By
from tests.support.books import Books
from tests.support.command_line import CommandLine
from tests.support.finished import collect, judge, picture


@pytest.fixture
def messy(likeness: CommandLine, books: Books, home: Path, tmp_path: Path) -> Books:
    """Batches with one generation accepted, one waiting, one in doubt, one held, and two that were tried twice.

    Of these, one was rejected, tried further, charged again and rejected again; one was refused, given back, retried
    and accepted.
    """
    books.lane()
    Image.new("RGB", (16, 16), "pink").save(tmp_path / "lulu.png")
    lulu = CharacterId(UUID(likeness.document("character", "add", "lulu", "lulu.png")["id"]))
    books.batch(1, name="meadow", limit="50")
    (plain,) = books.admit(places={"sandbox": 1})
    collect(books, plain.attempt_id, picture(home, "teal"))
    farm = books.batch(6, name="=farm", character=lulu, limit="50")
    accepted, rejected, doubted, held, refused = books.admit(places={"sandbox": 5})
    for one, core in ((accepted, 0.9), (rejected, 0.2)):
        collect(books, one.attempt_id, picture(home, "pink"))
        judge(books, one.attempt_id, lulu, core)
    tokens = {one: books.claim(one) for one in (doubted.attempt_id, refused.attempt_id)}
    with books.database.transaction() as connection:
        lost, no = MaybeSent("the reply is lost"), ContentRefused("no")
        submission.doubt(connection, doubted.attempt_id, token=tokens[doubted.attempt_id], failure=lost)
        submission.refuse(connection, refused.attempt_id, token=tokens[refused.attempt_id], failure=no)
    books.accept(held.attempt_id, books.claim(held.attempt_id))
    for state, core in ((GenerationState.REJECTED, 0.3), (GenerationState.FAILED, 0.9)):
        with books.database.transaction() as connection:
            assert by_person.retry(connection, farm, states=[state]) == 1
        (again,) = books.admit(places={"sandbox": 1})
        collect(books, again.attempt_id, picture(home, "pink"))
        judge(books, again.attempt_id, lulu, core)
    assert books.counts(farm) == {"completed": 2, "rejected": 1, "in_doubt": 1, "generating": 1, "queued": 1}
    return books


def _ledger(books: Books) -> dict[str, Decimal]:
    names = ("charged_usd", "held_usd", "in_doubt_usd")
    with books.database.transaction() as connection:
        row = connection.execute(select(*(func.sum(ledger_entries.c[name]) for name in names))).one()
        back = connection.execute(
            select(-func.sum(ledger_entries.c.held_usd + ledger_entries.c.in_doubt_usd)).where(
                ledger_entries.c.kind == "release"
            )
        ).scalar_one()
    return dict(zip(names, row, strict=True)) | {"released_usd": back}


@pytest.mark.parametrize("by", list(By))
def test_it_is_the_ledger_to_the_cent_whatever_it_is_summed_by(likeness: CommandLine, messy: Books, by: By) -> None:
    said = likeness.document("cost", "--by", by)
    for name, amount in _ledger(messy).items():
        assert amount > 0, name
        assert sum(Decimal(one[name]) for one in said["parts"]) == Decimal(said["total"][name]) == amount
        assert said["total"]["numbers"][name] == float(amount)
    assert (said["total"]["calls"], said["total"]["accepted"]) == (5, 3)


def test_the_keys_are_those_that_a_studio_asks_about(likeness: CommandLine, messy: Books) -> None:
    def keys(by: str) -> list[str | None]:
        return [one["key"] for one in likeness.document("cost", "--by", by)["parts"]]

    assert keys("batch") == ["=farm", "meadow"]
    assert keys("character") == ["lulu", None]
    assert len(keys("day")) == len(keys("user")) == len(keys("provider")) == 1


def test_a_character_called_none_is_not_the_lack_of_one(likeness: CommandLine, messy: Books) -> None:
    messy.sql("UPDATE characters SET name = 'none'")
    parts = {one["key"]: one["calls"] for one in likeness.document("cost", "--by", "character")["parts"]}
    assert parts == {"none": 4, None: 1}
    table = likeness("cost", "--by", "character").out
    assert [line.split()[0] for line in table.splitlines()[1:]][:2] == ["none", "(no"]
    rows = csv.DictReader(io.StringIO(likeness("cost", "--by", "character", "--format", "csv").out))
    assert {row["character"]: row["calls"] for row in rows} == {"none": "4", "": "1"}


def test_what_is_to_come_and_what_an_accepted_image_costs(likeness: CommandLine, messy: Books) -> None:
    farm = next(one for one in likeness.document("cost", "--by", "batch")["parts"] if one["key"] == "=farm")
    assert (farm["charged_usd"], farm["accepted"], farm["usd_per_accepted"]) == ("0.08", 2, "0.04")
    forecast = sum(Decimal(farm[name]) for name in ("charged_usd", "in_doubt_usd", "to_come_usd"))
    assert Decimal(farm["forecast_usd"]) == forecast
    assert Decimal(farm["to_come_usd"]) > 0


def test_a_total_says_whose_it_is(likeness: CommandLine, messy: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIKENESS_USER", "ana")
    assert "ana made no batch" in likeness("cost").out
    messy.sql("UPDATE batches SET user_id = 'ana' WHERE name = 'meadow'")
    messy.sql("UPDATE generations SET user_id = 'ana' WHERE batch_id = (SELECT id FROM batches WHERE name = 'meadow')")
    for arguments, total in ((("cost",), "$0.02"), (("cost", "--by", "day"), "$0.02")):
        said = next(line for line in likeness(*arguments).out.splitlines() if line.startswith("all of ana"))
        assert total in said
        assert likeness.document(*arguments)["user_id"] == "ana"
    said = next(line for line in likeness("cost", "--by", "user").out.splitlines() if line.startswith("all users"))
    assert "$0.10" in said
    assert likeness.document("cost", "--by", "user")["user_id"] is None


def test_nothing_is_booked_in_the_future(likeness: CommandLine, messy: Books) -> None:
    assert likeness.document("cost", "--by", "day", "--since", "2999-01-01")["parts"] == []


def test_it_is_printed_as_a_table_and_as_csv(likeness: CommandLine, messy: Books) -> None:
    assert "meadow" in likeness("cost", "--by", "batch").out
    rows = list(csv.DictReader(io.StringIO(likeness("cost", "--by", "batch", "--format", "csv").out)))
    assert [(row["batch"], row["charged_usd"]) for row in rows] == [("'=farm", "0.08"), ("meadow", "0.02")]
    assert "both want standard output" in likeness.document("cost", "--format", "csv", code=2)["error"]["message"]


def test_the_owner_s_three_figures_are_numbers_too(likeness: CommandLine, messy: Books) -> None:
    said = likeness.document("cost")
    assert said["numbers"] == {"images_generated": 5, "total_cost": 0.1, "avg_cost_per_image": 0.02}
    assert said["total_cost"] == "0.10"


def test_an_average_says_what_it_is_an_average_of(likeness: CommandLine, messy: Books) -> None:
    said = likeness.document("cost")
    assert (said["avg_cost_per_image"], said["accepted"], said["usd_per_accepted"][:6]) == ("0.02", 3, "0.0333")
    header, *lines = likeness("cost").out.splitlines()
    assert "per call  per accepted" in header
    total = next(line for line in lines if line.startswith("all of"))
    assert total.split()[4:7] == ["$0.10", "$0.02", "$0.0333"]
    status = likeness.document("status", "=farm")
    assert (status["avg_cost_per_image_usd"], status["usd_per_call"]) == ("0.04", "0.02")
    words = " ".join(likeness("status", "=farm").out.split())
    assert "per accepted picture $0.04 per call $0.02" in words
    likeness("report", "=farm", "--format", "json", "--out", "farm.json")
    report = json.loads(Path("farm.json").read_text(encoding="utf-8"))
    assert (report["avg_cost_per_image_usd"], report["usd_per_call"]) == ("0.04", "0.02")


def test_what_the_rest_will_cost_is_learned_from_what_is_finished(
    likeness: CommandLine, books: Books, home: Path
) -> None:
    books.lane(concurrency=50)
    lulu = books.character()

    def judged(number: int, core: float) -> None:
        for one in books.admit(places={"sandbox": number}):
            collect(books, one.attempt_id, picture(home, "pink"))
            judge(books, one.attempt_id, lulu, core)

    def retried() -> None:
        with books.database.transaction() as connection:
            assert by_person.retry(connection, farm, states=[GenerationState.REJECTED]) == 1

    def foretold() -> dict[str, Any]:
        (one,) = likeness.document("cost")["forecasts"]
        return dict(one)

    farm = books.batch(30, name="farm", limit="20", character=lulu)
    judged(9, 0.9)
    few = foretold()
    assert (few["rest_usd"], few["finished"], few["unfinished"], few["least_finished"]) == (None, 9, 21, 10)
    assert "farm: too few of its generations are finished" in likeness("cost").out
    judged(2, 0.9)
    for _ in range(2):  # One generation needs two tries, and another one waits for its second.
        judged(1, 0.2)
        retried()
        judged(1, 0.9)
    judged(1, 0.2)
    retried()
    # 13 finished ones were charged 15 times 0.02; 17 others will be charged as much each, of which 0.02 is charged.
    found = foretold()
    assert (found["finished"], found["unfinished"], found["charged_usd"]) == (13, 17, "0.32")
    assert found["rest_usd"] == show(Decimal("0.30") / 13 * 17 - Decimal("0.02"))
    assert found["numbers"]["rest_usd"] == float(found["rest_usd"])
    assert not found["exceeds_budget"]
    told = " ".join(likeness("cost").out.split())
    assert "farm: about $0.3723 more for 17 unfinished generations, $0.6923 in all, as its 13 finished ones" in told
    with likeness_here() as connection:
        assert (foretold_here := connection.batch("farm").forecast()) is not None
        assert show(foretold_here.rest_usd) == found["rest_usd"]
    likeness("budget", "farm", "0.50")
    assert foretold()["exceeds_budget"]
    assert "its budget of $0.50 will stop it before" in " ".join(likeness("cost").out.split())
    likeness("cancel", "farm")
    assert likeness.document("cost")["forecasts"] == [], "what is over costs nothing more"
