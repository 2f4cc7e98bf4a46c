"""The demo as a newcomer runs it: the whole system, and what is left of it when it is killed in the middle."""

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from hashlib import sha256
from pathlib import Path

import pytest

from tests.support import commands


def test_the_demo_makes_28_checked_pictures_and_its_books_equal_the_bill(home: Path, tmp_path: Path) -> None:
    ended = commands.run("demo", "--json", "--size", "128", home=home, cwd=tmp_path)
    assert ended.code == 0, ended.err
    said = ended.document
    counts = said["counts"]
    assert said["total"] == 28
    assert counts["completed"] + counts["rejected"] == 28, said
    assert Decimal(said["charged_usd"]) == Decimal(said["bill_usd"]) == Decimal("0.56")
    assert said["held_usd"] == said["in_doubt_usd"] == "0.00"
    assert counts["completed"] >= 14, "most pictures at full weight are the character"
    assert counts["rejected"] >= 1, "one that is not the character shows what the check is for"
    report = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Lulu Pig" in report
    assert "Rejections belong to the demo" in report
    commands.wait_for(lambda: not commands.processes_of(home), what="every process to be gone", timeout_s=30)


@pytest.mark.slow
def test_a_demo_killed_in_the_middle_goes_on_and_pays_nothing_twice(home: Path, tmp_path: Path) -> None:
    fast = {"LIKENESS_LEASE_S": "3", "LIKENESS_UNCLAIMED_S": "3", "LIKENESS_SUBMIT_TOTAL_S": "10"}
    fast["LIKENESS_LISTINGS_APART_S"] = "3"
    first = commands.start("demo", "--json", "--size", "128", home=home, cwd=tmp_path, **fast)
    database = home / "stand-in"
    commands.wait_for(
        lambda: database.exists() and any(database.rglob("*.png")), what="the first pictures", timeout_s=120
    )
    assert commands.kill_all(home) >= 5
    first.wait(timeout=60)
    assert not commands.processes_of(home)

    ended = commands.run("demo", "--json", "--size", "128", home=home, cwd=tmp_path, timeout_s=300, **fast)
    said = ended.document
    assert said["name"] == "demo", "the interrupted batch goes on"
    assert said["counts"]["completed"] + said["counts"]["rejected"] == 28, (said, ended.err)
    assert Decimal(said["charged_usd"]) == Decimal(said["bill_usd"]) == Decimal("0.56"), "one paid job for each prompt"
    commands.wait_for(lambda: not commands.processes_of(home), what="every process to be gone", timeout_s=30)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_demos_make_the_same_pictures(tmp_path: Path) -> None:
    def made(own: Path) -> list[bytes]:
        own.mkdir()
        ended = commands.run("demo", "--json", "--size", "64", home=own, cwd=own, timeout_s=500)
        assert ended.code == 0, ended.err
        listed = commands.run("list", "demo", "--json", home=own, cwd=own)
        return [sha256(Path(row["picture"]).read_bytes()).digest() for row in listed.document["generations"]]

    with ThreadPoolExecutor() as both:
        one, two = both.map(made, (tmp_path / "one", tmp_path / "two"))
    assert one == two
    assert len(set(one)) == 28
