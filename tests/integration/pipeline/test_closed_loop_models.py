"""The next dearer model: another provider's lane, its own price held, and nothing that a person did not allow."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from db.reads.work import select_work, work_of
from db.schema import attempts
from db.session import Database
from domain.escalation import read_steps, try_policy_of
from domain.ids import AttemptId
from pipeline.attempts import collect, poll, submit, validate
from pipeline.attempts.admit import admit
from pipeline.intake.commit import commit
from pipeline.intake.plan import Order, prepare
from pipeline.intake.prompt_rows import PromptRow
from providers.catalogue import load
from providers.lane import HttpLane
from providers.prices import price
from providers.registry import open_lane
from tests.conftest import Sent
from tests.support.books import USER
from tests.support.sandbox_client import until
from tests.support.steps import PREPROCESSING, StepRunner, runner_of

KEY = "r8_closed_loop"


@pytest.fixture
def lanes(sandbox_url: str) -> Iterator[dict[str, HttpLane]]:
    """TTAPI, Replicate and a stand-in, all of them played by one sandbox."""
    opened = {
        name: open_lane(name, name, base_url=f"{sandbox_url}/{name}", key=KEY, stand_in=sandbox_url)
        for name in ("ttapi", "replicate")
    }
    opened["sandbox"] = open_lane("sandbox", "sandbox", base_url=sandbox_url, key=KEY)
    yield opened
    for lane in opened.values():
        lane.close()


@pytest.fixture
def runner(
    database: Database, sandbox_url: str, sent: Sent, home: Path, lanes: dict[str, HttpLane]
) -> Iterator[StepRunner]:
    with runner_of(database, url=sandbox_url, sent=sent, home=home, lanes=lanes) as opened:
        opened.books.lane("ttapi", provider="ttapi")
        opened.books.lane("replicate", provider="replicate")
        opened.character()
        opened.scorer.scores = (0.5,)
        yield opened


def _first(runner: StepRunner, *, provider: str = "ttapi", negative: str | None = None, **policy: Any) -> AttemptId:
    settings = {"mode": "turbo"} | ({"negative_prompt": negative} if negative else {})
    row = PromptRow(position=0, line=1, prompt="a pig", settings=settings, extra={})
    said = try_policy_of(**{"max_tries": 3, "escalate": read_steps("model"), **policy})
    order = Order(name="batch", user_id=USER, provider=provider, prompts=[row], character="lulu", try_policy=said)
    commit(runner.resources, prepare(runner.resources, order))
    return runner.sent.take("submit")[0]


def _judged(runner: StepRunner, attempt_id: AttemptId) -> Any:
    """The generation once the attempt, on whichever lane it is, has its verdict."""
    lane = runner.books.attempt(attempt_id).lane
    assert submit.submit(runner.resources, attempt_id) is None

    def look() -> bool:
        runner.due()
        poll.sweep(runner.resources, lane)
        return bool(runner.books.attempt(attempt_id).state != "generating")

    until(look, what=f"the last word about {attempt_id}")
    assert collect.collect(runner.resources, attempt_id, preprocessing=PREPROCESSING) is None
    assert validate.validate(runner.resources, attempt_id) is None
    runner.sent.tasks.clear()
    return runner.books.generation_of(attempt_id)


def test_the_next_dearer_model_is_asked_at_its_own_price(runner: StepRunner) -> None:
    waiting = _judged(runner, _first(runner))
    model = load().get(waiting.model)
    assert (waiting.state, waiting.provider) == ("queued", "replicate")
    listed = price(model, {"mode": "turbo"}, on=waiting.created_at.date(), references=[512 * 512], prompt="a pig")
    assert (waiting.hold_usd, waiting.price_usd) == (listed.at_most_usd, listed.usd)
    assert listed.usd > Decimal("0.10"), "an imagine is 0.40 USD and four pictures"
    assert waiting.changes["settings"] == {}
    admit(runner.resources, "replicate")
    (second,) = runner.sent.take("submit replicate")
    attempt = runner.books.attempt(second)
    assert (attempt.lane, attempt.model, attempt.hold_usd) == ("replicate", model.name, listed.at_most_usd)
    third = _judged(runner, second)
    assert third.cost > listed.usd
    assert third.model not in {"midjourney", model.name}
    dearer = price(load().get(third.model), {}, on=third.created_at.date(), references=[512 * 512], prompt="a pig")
    assert dearer.usd > listed.usd


def test_a_model_of_a_provider_without_a_lane_is_not_asked(runner: StepRunner) -> None:
    first = _first(runner)
    runner.books.sql("DELETE FROM lanes WHERE name = 'replicate'")
    assert _judged(runner, first).state == "rejected"


def test_no_call_may_cost_more_than_was_allowed(runner: StepRunner) -> None:
    first = _first(runner, max_image_cost=Decimal("0.05"))
    assert _judged(runner, first).state == "rejected"


def test_a_wish_that_no_dearer_model_has_words_for_ends_the_search(runner: StepRunner) -> None:
    first = _first(runner, negative="mud")
    assert _judged(runner, first).state == "rejected"


def test_work_of_a_stand_in_never_becomes_a_real_services(runner: StepRunner) -> None:
    assert _judged(runner, _first(runner, provider="sandbox")).state == "rejected"


def test_an_attempt_keeps_its_own_price_when_its_generation_moves_to_another_model(runner: StepRunner) -> None:
    """A job that turns up late is charged what it cost, not what the later model costs."""
    first = _first(runner)
    waiting = _judged(runner, first)
    with runner.resources.database.transaction() as connection:
        work = work_of(connection.execute(select_work().where(attempts.c.id == first)).one())
    assert work.price_usd == Decimal("0.40") != waiting.price_usd
