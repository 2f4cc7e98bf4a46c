"""Paid calls for words: held before, charged by what was counted, in doubt where a reply is lost, never twice."""

import json
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from db.moves import words as moves
from db.schema import attempts, generations
from domain.ids import GenerationId
from pipeline.attempts import rescue
from pipeline.intake.commit import commit
from pipeline.intake.plan import prepare as plan
from pipeline.intake.single import Single, order_of
from pipeline.preparing.prepare import prepare
from pipeline.process.fault_points import FaultPoints
from providers.contract import Reply
from providers.openai.words import Ended, Rates, WordsClient
from tests.support.steps import StepRunner

RATES = Rates(usd_in=Decimal("0.10"), usd_out=Decimal("0.50"))
SPEC = {"records": [{"garmentType": "evening gown", "colors": {"primary": "burgundy"}}]}


class Death(Exception):
    """Stands for the end of a process: nothing behind the point is done."""


class DieAt(FaultPoints):
    def __init__(self, name: str) -> None:
        self._name: str | None = name

    def reach(self, name: str) -> None:
        if name == self._name:
            self._name = None
            raise Death(name)


@pytest.fixture
def client(sandbox_url: str, runner: StepRunner) -> Iterator[WordsClient]:
    with WordsClient(
        base_url=f"{sandbox_url}/openai", key=runner.caller.key, model="gpt-6-luna", rates=RATES
    ) as opened:
        yield opened


@pytest.fixture
def runner_with_words(runner: StepRunner, client: WordsClient) -> StepRunner:
    return replace(runner, resources=replace(runner.resources, scorer=None, words=client))


def enqueued(runner_with_words: StepRunner, **single: Any) -> GenerationId:
    wanted = Single(**{"vlt": SPEC, "enhance": "llm", **single})
    order, _ = order_of(runner_with_words.resources, wanted, user_id="me")
    commit(runner_with_words.resources, plan(runner_with_words.resources, order))
    (row,) = runner_with_words.books.rows(generations)
    return GenerationId(row.id)


def the_row(runner_with_words: StepRunner) -> Any:
    (row,) = runner_with_words.books.rows(generations)
    return row


def calls(runner_with_words: StepRunner) -> list[Any]:
    return [row for row in runner_with_words.books.rows(attempts) if row.kind in {"text", "vision"}]


def billed(runner_with_words: StepRunner) -> list[Decimal]:
    return [Decimal(str(line["charged_usd"])) for line in runner_with_words.caller.bill() if line["kind"] == "chat"]


def fault(runner_with_words: StepRunner, what: str, *, times: int = 1) -> None:
    runner_with_words.caller.arm({"where": "submit", "provider": "openai", "what": what, "count": times})


def enhancement(runner_with_words: StepRunner) -> Any:
    return next(one for one in the_row(runner_with_words).pipeline_data["stages"] if one["name"] == "enhancement")


def test_an_answer_is_charged_as_the_service_bills_it(runner_with_words: StepRunner) -> None:
    prepare(runner_with_words.resources, enqueued(runner_with_words, block="by Maison Lulu"))
    (call,) = calls(runner_with_words)
    assert (call.state, call.outcome, call.hold_state, call.lane) == ("finished", "completed", "charged", "words")
    assert billed(runner_with_words) == [call.charged_usd]
    assert 0 < call.charged_usd < call.hold_usd
    told = enhancement(runner_with_words)
    assert (told["outcome"], Decimal(told["cost_usd"])) == ("done", call.charged_usd)
    assert len(told["added"]["candidates"]) == 4
    assert all(one.endswith("by Maison Lulu") for one in told["added"]["candidates"])
    assert the_row(runner_with_words).cost == call.charged_usd


def test_a_lost_reply_is_in_doubt_and_the_composer_writes(runner_with_words: StepRunner) -> None:
    fault(runner_with_words, "drop_after")
    prepare(runner_with_words.resources, enqueued(runner_with_words))
    (call,) = calls(runner_with_words)
    assert (call.state, call.hold_state) == ("in_doubt", "in_doubt")
    told = enhancement(runner_with_words)
    assert (told["outcome"], told["detail"]["why"], told["detail"]["instead"]) == ("fell_back", "in_doubt", "local")
    assert the_row(runner_with_words).state == "admitted"
    assert len(billed(runner_with_words)) == 1


def test_the_deadline_settles_a_doubt_at_the_most_it_can_have_cost(runner_with_words: StepRunner) -> None:
    fault(runner_with_words, "drop_after")
    prepare(runner_with_words.resources, enqueued(runner_with_words))
    runner_with_words.books.sql("UPDATE attempts SET doubted_at = now() - interval '25 hours' WHERE kind = 'text'")
    rescue.take_over(runner_with_words.resources)
    (call,) = calls(runner_with_words)
    assert (call.state, call.hold_state, call.charged_usd) == ("finished", "charged", call.hold_usd)
    assert call.charged_usd >= billed(runner_with_words)[0]


def test_slow_down_is_waited_for_and_costs_nothing(runner_with_words: StepRunner) -> None:
    fault(runner_with_words, "throttled:plain")
    generation_id = enqueued(runner_with_words)
    again = prepare(runner_with_words.resources, generation_id)
    assert again is not None
    assert [(one.outcome, one.hold_state) for one in calls(runner_with_words)] == [("failed", "released")]
    runner_with_words.books.sql("UPDATE preparations SET published_at = now()")
    assert prepare(runner_with_words.resources, generation_id) is None
    assert [one.outcome for one in calls(runner_with_words)] == ["failed", "completed"]
    assert len(billed(runner_with_words)) == 1


def test_no_money_there_lets_the_composer_write(runner_with_words: StepRunner) -> None:
    fault(runner_with_words, "throttled:quota", times=3)
    generation_id = enqueued(runner_with_words)
    for _ in range(3):
        prepare(runner_with_words.resources, generation_id)
        runner_with_words.books.sql("UPDATE preparations SET published_at = now()")
    assert enhancement(runner_with_words)["detail"]["why"] == "out_of_money"
    assert the_row(runner_with_words).state == "admitted"


def test_a_budget_below_the_hold_makes_no_call(runner_with_words: StepRunner) -> None:
    generation_id = enqueued(runner_with_words, limit_usd=Decimal("0.40"))
    runner_with_words.books.sql("UPDATE batches SET limit_usd = 0.000001")
    prepare(runner_with_words.resources, generation_id)
    assert calls(runner_with_words) == []
    assert billed(runner_with_words) == []
    assert enhancement(runner_with_words)["detail"]["why"] == "over_budget"


@pytest.mark.parametrize("point", ["word_calls.intent", "word_calls.answered", "word_calls.stored"])
def test_a_death_at_every_point_is_paid_once(runner_with_words: StepRunner, point: str) -> None:
    dying = replace(runner_with_words.resources, fault_points=DieAt(point))
    generation_id = enqueued(runner_with_words)
    with pytest.raises(Death):
        prepare(dying, generation_id)
    runner_with_words.books.sql(
        "UPDATE attempts SET lease_until = now() - interval '1 hour' WHERE lease_until IS NOT NULL"
    )
    runner_with_words.books.sql("UPDATE preparations SET lease_until = now() - interval '1 second'")
    rescue.take_over(runner_with_words.resources)
    assert prepare(runner_with_words.resources, generation_id) is None
    (call,) = calls(runner_with_words)
    assert len(billed(runner_with_words)) == (0 if point == "word_calls.intent" else 1)
    assert call.state == ("finished" if point == "word_calls.stored" else "in_doubt")
    assert enhancement(runner_with_words)["outcome"] == ("done" if point == "word_calls.stored" else "fell_back")
    assert the_row(runner_with_words).state == "admitted"


def test_nothing_is_asked_again_while_a_doubt_stands(runner_with_words: StepRunner) -> None:
    fault(runner_with_words, "drop_after")
    generation_id = enqueued(runner_with_words)
    prepare(runner_with_words.resources, generation_id)
    with runner_with_words.resources.database.transaction() as connection:
        earlier = moves.earlier(connection, generation_id, moves.AttemptKind.TEXT)
    assert earlier is not None
    assert earlier.state == "in_doubt"


def reply(message: dict[str, Any], *, finish: str = "stop", status: int = 200) -> Reply:
    body = {
        "id": "chatcmpl-1",
        "choices": [{"message": message, "finish_reason": finish}],
        "usage": {"prompt_tokens": 1000, "completion_tokens": 100},
    }
    return Reply(status=status, headers={}, content=json.dumps(body).encode(), path="/v1/chat/completions", model="m")


@pytest.mark.parametrize(
    ("answered", "ended"),
    [
        (reply({"content": '{"prompts": []}'}), Ended.ANSWERED),
        (reply({"content": None, "refusal": "I cannot help with that"}), Ended.REFUSED),
        (reply({"content": None}, finish="content_filter"), Ended.REFUSED),
        (reply({"content": '{"prompts": ["a'}, finish="length"), Ended.TRUNCATED),
        (reply({"content": "Sure! Here are your prompts:"}), Ended.UNREADABLE),
        (reply({"content": "[1]"}), Ended.UNREADABLE),
    ],
)
def test_every_end_of_an_answer_has_a_type_and_its_price(client: WordsClient, answered: Reply, ended: Ended) -> None:
    read = client.read(answered)
    assert (read.ended, read.charged_usd) == (ended, Decimal("0.00015"))
