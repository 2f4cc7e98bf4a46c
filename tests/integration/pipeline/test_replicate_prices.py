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
from tests.support.replicate_runner import FLUX, ReplicateRunner
from tests.support.steps import EXAMPLE

#: Of FLUX.2 pro: a run, a megapixel of output, a megapixel of a reference, each.
RUN = OUT = MP = Decimal("0.015")
#: A megapixel of output may be 1024 x 1024, and then it is two.
OUT_AT_MOST = 2 * OUT
REFERENCES = sorted(EXAMPLE.parent.glob("*.png"))


@pytest.fixture
def runner(replicate_runner: ReplicateRunner) -> ReplicateRunner:
    return replicate_runner


def _character(runner: ReplicateRunner, *, references: int) -> str:
    files = REFERENCES[:references]
    assert len(files) == references
    new = NewCharacter(name="lulu", description="", references=files, core=0.75, style=0.6, origin="default")
    return add(runner.resources, new).name


def _address(runner: ReplicateRunner, *, size: tuple[int, int] = (512, 512)) -> str:
    """Of a picture that nobody here has measured."""
    content = io.BytesIO()
    with Image.open(EXAMPLE) as picture:
        picture.resize(size).save(content, "PNG")
    kept = httpx2.put(
        f"{runner.url}/_sandbox/files",
        content=content.getvalue(),
        headers={"content-type": "image/png"},
        trust_env=False,
    )
    return str(kept.json()["url"])


def _admitted(runner: ReplicateRunner, *, order: dict[str, Any] | None = None, **settings: Any) -> AttemptId:
    commit(runner.resources, runner.planned("a pig", model=FLUX, order=order, **settings))
    (attempt_id,) = runner.sent.take("submit")
    return attempt_id


def _charged(runner: ReplicateRunner, attempt_id: AttemptId) -> Decimal:
    """As the books have it, and not above the hold."""
    assert submit.submit(runner.resources, attempt_id) is None
    row = runner.last_word(attempt_id)
    assert row.charged_usd <= row.hold_usd
    return Decimal(row.charged_usd)


def _again(runner: ReplicateRunner) -> AttemptId:
    admit(runner.resources, "replicate")
    (attempt_id,) = runner.sent.take("submit")
    return attempt_id


def test_references_that_are_not_wanted_are_not_paid_for(runner: ReplicateRunner) -> None:
    attempt_id = _admitted(runner, order={"character": _character(runner, references=2)}, references=False)
    assert runner.books.attempt(attempt_id).hold_usd == RUN + OUT_AT_MOST
    assert [_charged(runner, attempt_id)] == runner.bill() == [RUN + OUT]


def test_references_beyond_what_the_model_takes_are_not_paid_for(runner: ReplicateRunner) -> None:
    attempt_id = _admitted(runner, cref_urls=" ".join([_address(runner)] * 10))
    assert runner.books.attempt(attempt_id).hold_usd == RUN + OUT_AT_MOST + 8 * 4 * MP
    assert [_charged(runner, attempt_id)] == runner.bill() == [RUN + OUT + 8 * MP]


def test_a_reference_that_came_later_is_held_for_before_it_is_sent(runner: ReplicateRunner) -> None:
    first = _admitted(runner, order={"character": _character(runner, references=1)})
    assert runner.books.attempt(first).hold_usd == RUN + OUT_AT_MOST + MP
    _character(runner, references=2)
    assert submit.submit(runner.resources, first) is None
    given_back = runner.books.attempt(first)
    assert (given_back.outcome, given_back.error_code, given_back.hold_state) == ("given_back", "not_sent", "released")
    assert (runner.books.generation_of(first).state, runner.bill()) == ("queued", [])
    second = _again(runner)
    assert runner.books.attempt(second).hold_usd == RUN + OUT_AT_MOST + 2 * MP
    assert [_charged(runner, second)] == runner.bill() == [RUN + OUT + 2 * MP]


def test_a_reference_that_went_is_not_paid_for(runner: ReplicateRunner) -> None:
    attempt_id = _admitted(runner, order={"character": _character(runner, references=2)})
    _character(runner, references=1)
    assert [_charged(runner, attempt_id)] == runner.bill() == [RUN + OUT + MP]


def test_a_large_reference_is_measured_and_held_for_before_it_is_sent(runner: ReplicateRunner) -> None:
    first = _admitted(runner, cref_urls=_address(runner, size=(3000, 2000)))
    assert runner.books.attempt(first).hold_usd == RUN + OUT_AT_MOST + 4 * MP
    assert submit.submit(runner.resources, first) is None
    assert (runner.books.attempt(first).outcome, runner.bill()) == ("given_back", [])
    second = _again(runner)
    assert runner.books.attempt(second).hold_usd == RUN + OUT_AT_MOST + 6 * MP
    assert [_charged(runner, second)] == runner.bill() == [RUN + OUT + 6 * MP]


def test_a_larger_hold_does_not_get_past_the_budget(runner: ReplicateRunner) -> None:
    budget = RUN + OUT_AT_MOST + 5 * MP
    first = _admitted(runner, order={"limit_usd": budget}, cref_urls=_address(runner, size=(3000, 2000)))
    assert submit.submit(runner.resources, first) is None
    admit(runner.resources, "replicate")
    assert runner.sent.take("submit") == []
    batch = runner.books.row(runner.books.attempt(first).batch_id)
    assert (batch.stopped_reason, batch.held_usd, runner.bill()) == ("budget", 0, [])
    assert runner.books.generation_of(first).state == "queued"


@pytest.mark.parametrize("for_all", [True, False])
def test_a_larger_hold_does_not_get_past_what_one_call_may_cost(runner: ReplicateRunner, *, for_all: bool) -> None:
    most = RUN + OUT_AT_MOST + 5 * MP
    said: dict[str, Any] = {"order": {"max_image_cost": most}} if for_all else {"max_image_cost": str(most)}
    attempt_id = _admitted(runner, **said, cref_urls=_address(runner, size=(3000, 2000)))
    assert submit.submit(runner.resources, attempt_id) is None
    generation = runner.books.generation_of(attempt_id)
    assert (generation.state, generation.error_code, runner.bill()) == ("failed", "limit_too_small", [])


def test_a_reference_that_cannot_be_measured_is_charged_at_the_most(runner: ReplicateRunner) -> None:
    attempt_id = _admitted(runner, cref_urls="http://127.0.0.1:9/nothing.png")
    assert submit.submit(runner.resources, attempt_id) is None
    row = runner.books.attempt(attempt_id)
    assert (row.state, row.price_usd) == ("generating", RUN + OUT + 4 * MP)
    # Replicate can't read it either, and a failure costs nothing.
    assert runner.last_word(attempt_id).charged_usd is None
    assert runner.bill() == [0]


def test_a_model_at_a_flat_price_measures_nothing(runner: ReplicateRunner) -> None:
    commit(runner.resources, runner.planned("a pig", cref_urls="http://127.0.0.1:9/nothing.png"))
    (attempt_id,) = runner.sent.take("submit")
    assert submit.submit(runner.resources, attempt_id) is None
    row = runner.books.attempt(attempt_id)
    assert row.hold_usd == row.price_usd == Decimal("0.15")
