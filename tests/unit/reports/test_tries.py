"""Tries in words: what changed, what came of it, what it cost, and what further tries did for a whole batch."""

import csv
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from domain.states import GenerationState as S
from reports.contact_sheet import render
from reports.records import GenerationLine, Report, TryLine
from reports.tries import COLUMNS, ordinal, sentences, summarize_tries, write_tries

CENTS = Decimal("0.40")


def _line(position: int, state: S, *tried: TryLine) -> GenerationLine:
    return GenerationLine(position=position, prompt="a pig <b>", state=state, tried=tried)


SAVED = _line(
    0,
    S.COMPLETED,
    TryLine(number=1, core=0.5, style=0.7, cost_usd=CENTS),
    TryLine(number=2, changed="cw 50 → 75", kind="cw 50 → 75", core=0.711, style=0.7, cost_usd=CENTS),
    TryLine(number=3, changed="cw 75 → 100", kind="cw 75 → 100", core=0.789, style=0.7, cost_usd=CENTS, accepted=True),
)
AT_ONCE = _line(1, S.COMPLETED, TryLine(number=1, core=0.9, style=0.7, cost_usd=CENTS, accepted=True))
WAITING = _line(
    2,
    S.QUEUED,
    TryLine(number=1, core=0.6, style=0.7, cost_usd=CENTS),
    TryLine(number=2, changed="midjourney → dearer", kind="another model", waits_for_usd=Decimal("0.15")),
)
FAILED = _line(
    3,
    S.REJECTED,
    TryLine(number=1, core=0.6, style=0.7, cost_usd=CENTS),
    TryLine(number=2, changed="a variation of picture 2", kind="a variation", failed="it came to nothing (job_failed)"),
)


def _report(*lines: GenerationLine) -> Report:
    return Report(
        batch_id="b",
        name="farm",
        title="farm",
        created_at=datetime(2026, 11, 21, tzinfo=UTC),
        wall_s=1,
        counts={},
        total=len(lines),
        accepted=2,
        charged_usd=CENTS * 6,
        generations=lines,
    )


def test_a_try_is_told_with_both_scores_and_its_cost() -> None:
    assert sentences(SAVED) == [
        "2nd try: cw 50 → 75: 0.50 → 0.71, +0.40 USD",
        "3rd try: cw 75 → 100: 0.71 → 0.79, +0.40 USD",
    ]


def test_a_try_without_a_verdict_says_why() -> None:
    assert sentences(WAITING) == [
        "2nd try: midjourney → dearer, waits for its turn and 0.15 USD of the budget",
    ]
    assert sentences(FAILED) == ["2nd try: a variation of picture 2: it came to nothing (job_failed), +0.00 USD"]


def test_one_try_is_not_worth_a_word() -> None:
    assert sentences(AT_ONCE) == []
    assert summarize_tries(_report(AT_ONCE)) is None


def test_a_batch_says_what_its_further_tries_gave_and_cost() -> None:
    loop = summarize_tries(_report(SAVED, AT_ONCE, WAITING, FAILED))
    assert loop is not None
    assert loop.sentence == "The first tries gave 1 accepted picture, further ones 1 more for 0.80 USD."
    steps = {step.changed: (step.made, step.accepted, step.usd_per_accepted) for step in loop.steps}
    assert steps == {
        "first try": (4, 1, Decimal("1.60")),
        "cw 50 → 75": (1, 0, None),
        "cw 75 → 100": (1, 1, CENTS),
        "another model": (0, 0, None),
        "a variation": (0, 0, None),
    }


def test_the_page_tells_the_tries_of_each_picture() -> None:
    page = render(_report(SAVED, AT_ONCE))
    assert "3rd try: cw 75 → 100: 0.71 → 0.79, +0.40 USD" in page
    assert '<h2 id="loop">Further tries</h2>' in page
    assert "Further tries" not in render(_report(AT_ONCE))


def test_each_try_is_a_row_of_the_export(tmp_path: Path) -> None:
    path = tmp_path / "farm_tries.csv"
    assert write_tries(_report(SAVED, AT_ONCE), path)
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert tuple(header) == COLUMNS
    assert [(row[0], row[2], row[3], row[4], row[5], row[7], row[8]) for row in rows] == [
        ("0", "1", "", "", "0.5000", "no", "0.40"),
        ("0", "2", "cw 50 → 75", "0.5000", "0.7110", "no", "0.40"),
        ("0", "3", "cw 75 → 100", "0.7110", "0.7890", "yes", "0.40"),
        ("1", "1", "", "", "0.9000", "yes", "0.40"),
    ]
    assert not write_tries(_report(AT_ONCE), tmp_path / "none.csv")
    assert not (tmp_path / "none.csv").exists()


@pytest.mark.parametrize(
    ("number", "said"), [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (12, "12th"), (21, "21st")]
)
def test_ordinals(number: int, said: str) -> None:
    assert ordinal(number) == said
