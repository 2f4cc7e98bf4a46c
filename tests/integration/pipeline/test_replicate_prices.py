"""A call is charged for what was sent: real Postgres, the real sandbox, and its bill, which measures for itself."""

import io
from decimal import Decimal
from typing import Any

import httpx2
import pytest
from PIL import Image

from domain.ids import AttemptId
from pipeline.attempts import submit
from pipeline.attempts.admit import admit
from pipeline.characters.definitions import NewCharacter, add
from pipeline.intake.commit import commit
from tests.support.replicate_desk import FLUX, Desk
from tests.support.steps import EXAMPLE

#: Of FLUX.2 pro: a run, a megapixel of output, a megapixel of a reference, each.
RUN = OUT = MP = Decimal("0.015")
#: A megapixel of output may be 1024 x 1024, and then it is two.
OUT_AT_MOST = 2 * OUT
REFERENCES = sorted(EXAMPLE.parent.glob("*.png"))


@pytest.fixture
def desk(replicate_desk: Desk) -> Desk:
    return replicate_desk


def _character(desk: Desk, *, references: int) -> str:
    files = REFERENCES[:references]
    assert len(files) == references
    new = NewCharacter(name="lulu", description="", references=files, core=0.75, style=0.6, origin="default")
    return add(desk.resources, new).name


def _address(desk: Desk, *, size: tuple[int, int] = (512, 512)) -> str:
    """Of a picture that nobody here has measured."""
    content = io.BytesIO()
    with Image.open(EXAMPLE) as picture:
        picture.resize(size).save(content, "PNG")
    kept = httpx2.put(
        f"{desk.url}/_sandbox/files",
        content=content.getvalue(),
        headers={"content-type": "image/png"},
        trust_env=False,
    )
    return str(kept.json()["url"])


def _admitted(desk: Desk, *, order: dict[str, Any] | None = None, **settings: Any) -> AttemptId:
    commit(desk.resources, desk.planned("a pig", model=FLUX, order=order, **settings))
    (attempt_id,) = desk.sent.take("submit")
    return attempt_id


def _charged(desk: Desk, attempt_id: AttemptId) -> Decimal:
    """As the books have it, and not above the hold."""
    assert submit.submit(desk.resources, attempt_id) is None
    row = desk.last_word(attempt_id)
    assert row.charged_usd <= row.hold_usd
    return Decimal(row.charged_usd)


def _again(desk: Desk) -> AttemptId:
    admit(desk.resources, "replicate")
    (attempt_id,) = desk.sent.take("submit")
    return attempt_id


def test_references_that_are_not_wanted_are_not_paid_for(desk: Desk) -> None:
    attempt_id = _admitted(desk, order={"character": _character(desk, references=2)}, references=False)
    assert desk.books.attempt(attempt_id).hold_usd == RUN + OUT_AT_MOST
    assert [_charged(desk, attempt_id)] == desk.bill() == [RUN + OUT]


def test_references_beyond_what_the_model_takes_are_not_paid_for(desk: Desk) -> None:
    attempt_id = _admitted(desk, cref_urls=" ".join([_address(desk)] * 10))
    assert desk.books.attempt(attempt_id).hold_usd == RUN + OUT_AT_MOST + 8 * 4 * MP
    assert [_charged(desk, attempt_id)] == desk.bill() == [RUN + OUT + 8 * MP]


def test_a_reference_that_came_later_is_held_for_before_it_is_sent(desk: Desk) -> None:
    first = _admitted(desk, order={"character": _character(desk, references=1)})
    assert desk.books.attempt(first).hold_usd == RUN + OUT_AT_MOST + MP
    _character(desk, references=2)
    assert submit.submit(desk.resources, first) is None
    given_back = desk.books.attempt(first)
    assert (given_back.outcome, given_back.error_code, given_back.hold_state) == ("given_back", "not_sent", "released")
    assert (desk.books.generation_of(first).state, desk.bill()) == ("queued", [])
    second = _again(desk)
    assert desk.books.attempt(second).hold_usd == RUN + OUT_AT_MOST + 2 * MP
    assert [_charged(desk, second)] == desk.bill() == [RUN + OUT + 2 * MP]


def test_a_reference_that_went_is_not_paid_for(desk: Desk) -> None:
    attempt_id = _admitted(desk, order={"character": _character(desk, references=2)})
    _character(desk, references=1)
    assert [_charged(desk, attempt_id)] == desk.bill() == [RUN + OUT + MP]


def test_a_large_reference_is_measured_and_held_for_before_it_is_sent(desk: Desk) -> None:
    first = _admitted(desk, cref_urls=_address(desk, size=(3000, 2000)))
    assert desk.books.attempt(first).hold_usd == RUN + OUT_AT_MOST + 4 * MP
    assert submit.submit(desk.resources, first) is None
    assert (desk.books.attempt(first).outcome, desk.bill()) == ("given_back", [])
    second = _again(desk)
    assert desk.books.attempt(second).hold_usd == RUN + OUT_AT_MOST + 6 * MP
    assert [_charged(desk, second)] == desk.bill() == [RUN + OUT + 6 * MP]


def test_a_larger_hold_does_not_get_past_the_budget(desk: Desk) -> None:
    budget = RUN + OUT_AT_MOST + 5 * MP
    first = _admitted(desk, order={"limit_usd": budget}, cref_urls=_address(desk, size=(3000, 2000)))
    assert submit.submit(desk.resources, first) is None
    admit(desk.resources, "replicate")
    assert desk.sent.take("submit") == []
    batch = desk.books.row(desk.books.attempt(first).batch_id)
    assert (batch.stopped_reason, batch.held_usd, desk.bill()) == ("budget", 0, [])
    assert desk.books.generation_of(first).state == "queued"


@pytest.mark.parametrize("for_all", [True, False])
def test_a_larger_hold_does_not_get_past_what_one_call_may_cost(desk: Desk, *, for_all: bool) -> None:
    most = RUN + OUT_AT_MOST + 5 * MP
    said: dict[str, Any] = {"order": {"max_image_cost": most}} if for_all else {"max_image_cost": str(most)}
    attempt_id = _admitted(desk, **said, cref_urls=_address(desk, size=(3000, 2000)))
    assert submit.submit(desk.resources, attempt_id) is None
    generation = desk.books.generation_of(attempt_id)
    assert (generation.state, generation.error_code, desk.bill()) == ("failed", "limit_too_small", [])


def test_a_reference_that_cannot_be_measured_is_charged_at_the_most(desk: Desk) -> None:
    attempt_id = _admitted(desk, cref_urls="http://127.0.0.1:9/nothing.png")
    assert submit.submit(desk.resources, attempt_id) is None
    row = desk.books.attempt(attempt_id)
    assert (row.state, row.price_usd) == ("generating", RUN + OUT + 4 * MP)
    # Replicate can't read it either, and a failure costs nothing.
    assert desk.last_word(attempt_id).charged_usd is None
    assert desk.bill() == [0]


def test_a_model_at_a_flat_price_measures_nothing(desk: Desk) -> None:
    commit(desk.resources, desk.planned("a pig", cref_urls="http://127.0.0.1:9/nothing.png"))
    (attempt_id,) = desk.sent.take("submit")
    assert submit.submit(desk.resources, attempt_id) is None
    row = desk.books.attempt(attempt_id)
    assert row.hold_usd == row.price_usd == Decimal("0.15")
