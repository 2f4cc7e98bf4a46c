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
from tests.support.steps import Bench

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
def client(sandbox_url: str, bench: Bench) -> Iterator[WordsClient]:
    with WordsClient(base_url=f"{sandbox_url}/openai", key=bench.caller.key, model="gpt-6-luna", rates=RATES) as opened:
        yield opened


@pytest.fixture
def desk(bench: Bench, client: WordsClient) -> Bench:
    return replace(bench, resources=replace(bench.resources, scorer=None, words=client))


def enqueued(desk: Bench, **single: Any) -> GenerationId:
    wanted = Single(**{"vlt": SPEC, "enhance": "llm", **single})
    order, _ = order_of(desk.resources, wanted, user_id="me")
    commit(desk.resources, plan(desk.resources, order))
    (row,) = desk.books.rows(generations)
    return GenerationId(row.id)


def the_row(desk: Bench) -> Any:
    (row,) = desk.books.rows(generations)
    return row


def calls(desk: Bench) -> list[Any]:
    return [row for row in desk.books.rows(attempts) if row.kind in {"text", "vision"}]


def billed(desk: Bench) -> list[Decimal]:
    return [Decimal(str(line["charged_usd"])) for line in desk.caller.bill() if line["kind"] == "chat"]


def fault(desk: Bench, what: str, *, times: int = 1) -> None:
    desk.caller.arm({"where": "submit", "provider": "openai", "what": what, "count": times})


def enhancement(desk: Bench) -> Any:
    return next(one for one in the_row(desk).pipeline_data["stages"] if one["name"] == "enhancement")


def test_an_answer_is_charged_as_the_service_bills_it(desk: Bench) -> None:
    prepare(desk.resources, enqueued(desk, block="by Maison Lulu"))
    (call,) = calls(desk)
    assert (call.state, call.outcome, call.hold_state, call.lane) == ("finished", "completed", "charged", "words")
    assert billed(desk) == [call.charged_usd]
    assert 0 < call.charged_usd < call.hold_usd
    told = enhancement(desk)
    assert (told["outcome"], Decimal(told["cost_usd"])) == ("done", call.charged_usd)
    assert len(told["added"]["candidates"]) == 4
    assert all(one.endswith("by Maison Lulu") for one in told["added"]["candidates"])
    assert the_row(desk).cost == call.charged_usd


def test_a_lost_reply_is_in_doubt_and_the_composer_writes(desk: Bench) -> None:
    fault(desk, "drop_after")
    prepare(desk.resources, enqueued(desk))
    (call,) = calls(desk)
    assert (call.state, call.hold_state) == ("in_doubt", "in_doubt")
    told = enhancement(desk)
    assert (told["outcome"], told["detail"]["why"], told["detail"]["instead"]) == ("fell_back", "in_doubt", "local")
    assert the_row(desk).state == "admitted"
    assert len(billed(desk)) == 1


def test_the_deadline_settles_a_doubt_at_the_most_it_can_have_cost(desk: Bench) -> None:
    fault(desk, "drop_after")
    prepare(desk.resources, enqueued(desk))
    desk.books.sql("UPDATE attempts SET doubted_at = now() - interval '25 hours' WHERE kind = 'text'")
    rescue.take_over(desk.resources)
    (call,) = calls(desk)
    assert (call.state, call.hold_state, call.charged_usd) == ("finished", "charged", call.hold_usd)
    assert call.charged_usd >= billed(desk)[0]


def test_slow_down_is_waited_for_and_costs_nothing(desk: Bench) -> None:
    fault(desk, "throttled:plain")
    generation_id = enqueued(desk)
    again = prepare(desk.resources, generation_id)
    assert again is not None
    assert [(one.outcome, one.hold_state) for one in calls(desk)] == [("failed", "released")]
    desk.books.sql("UPDATE preparations SET published_at = now()")
    assert prepare(desk.resources, generation_id) is None
    assert [one.outcome for one in calls(desk)] == ["failed", "completed"]
    assert len(billed(desk)) == 1


def test_no_money_there_lets_the_composer_write(desk: Bench) -> None:
    fault(desk, "throttled:quota", times=3)
    generation_id = enqueued(desk)
    for _ in range(3):
        prepare(desk.resources, generation_id)
        desk.books.sql("UPDATE preparations SET published_at = now()")
    assert enhancement(desk)["detail"]["why"] == "out_of_money"
    assert the_row(desk).state == "admitted"


def test_a_budget_below_the_hold_makes_no_call(desk: Bench) -> None:
    generation_id = enqueued(desk, limit_usd=Decimal("0.40"))
    desk.books.sql("UPDATE batches SET limit_usd = 0.000001")
    prepare(desk.resources, generation_id)
    assert calls(desk) == []
    assert billed(desk) == []
    assert enhancement(desk)["detail"]["why"] == "over_budget"


@pytest.mark.parametrize("point", ["word_calls.intent", "word_calls.answered", "word_calls.stored"])
def test_a_death_at_every_point_is_paid_once(desk: Bench, point: str) -> None:
    dying = replace(desk.resources, fault_points=DieAt(point))
    generation_id = enqueued(desk)
    with pytest.raises(Death):
        prepare(dying, generation_id)
    desk.books.sql("UPDATE attempts SET lease_until = now() - interval '1 hour' WHERE lease_until IS NOT NULL")
    desk.books.sql("UPDATE preparations SET lease_until = now() - interval '1 second'")
    rescue.take_over(desk.resources)
    assert prepare(desk.resources, generation_id) is None
    (call,) = calls(desk)
    assert len(billed(desk)) == (0 if point == "word_calls.intent" else 1)
    assert call.state == ("finished" if point == "word_calls.stored" else "in_doubt")
    assert enhancement(desk)["outcome"] == ("done" if point == "word_calls.stored" else "fell_back")
    assert the_row(desk).state == "admitted"


def test_nothing_is_asked_again_while_a_doubt_stands(desk: Bench) -> None:
    fault(desk, "drop_after")
    generation_id = enqueued(desk)
    prepare(desk.resources, generation_id)
    with desk.resources.database.transaction() as connection:
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
