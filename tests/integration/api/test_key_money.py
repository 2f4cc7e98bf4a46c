"""What a key's batches may spend in a month holds whoever spends there: other keys, other months, two at once."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from domain.access import Scope
from domain.errors import LostRace
from domain.ids import BatchId
from pipeline.intake.commit import commit
from pipeline.intake.plan import Order, prepare
from pipeline.intake.prompt_rows import rows_of
from pipeline.operator import batch_control, keys
from tests.support.api_server import ApiServer


def limited(api: ApiServer, usd: str = "1") -> str:
    return api.key("shop", Scope.GENERATE, limit_usd=Decimal(usd), member="gen")


def made(api: ApiServer, token: str, name: str = "q", *, prompts: int = 4, **body: Any) -> Any:
    order = {"name": name, "userId": "shop", "prompts": [f"pig {number}" for number in range(prompts)], **body}
    reply = api.as_(token).post("/api/batches", json=order)
    assert reply.status_code == 202, reply.text
    return reply.json()


def test_the_limit_of_a_batch_s_key_holds_whoever_raises_its_budget(api: ApiServer) -> None:
    batch = made(api, limited(api), maxCostUsd="0.8")
    other, address = api.as_(api.key("shop", Scope.APPROVE)), batch["statusUrl"]
    for way, body in (("budget", {"maxCostUsd": "50"}), ("resume", {"maxCostUsd": "1.01"})):
        reply = other.post(f"{address}/{way}", json=body)
        assert (reply.status_code, reply.json()["code"]) == (422, "limit_too_small"), reply.text
        assert "key 'shop-generate-0-2' may spend 1.00 USD a month" in reply.json()["detail"]
    assert other.post(f"{address}/budget", json={"maxCostUsd": None}).status_code == 422
    again = {"name": "q", "userId": "shop", "prompts": ["a"], "maxCostUsd": "9"}
    reply = other.post("/api/batches", json=again)
    assert (reply.status_code, reply.json()["code"]) == (422, "limit_too_small")
    assert other.post(f"{address}/budget", json={"maxCostUsd": "1"}).json()["limitUsd"] == "1.00"
    assert other.get(address).json()["limitUsd"] == "1.00"


def test_rows_added_by_another_key_leave_the_budget_as_it_is(api: ApiServer) -> None:
    batch = made(api, limited(api), maxCostUsd="0.8")
    made(api, api.key("shop", Scope.APPROVE), prompts=9)
    assert api.as_(api.key("shop")).get(batch["statusUrl"]).json()["limitUsd"] == "0.80"
    made(api, api.key("shop", Scope.APPROVE), "q2", prompts=1)


def test_two_raises_at_once_do_not_pass_the_limit_together(api: ApiServer) -> None:
    token = limited(api)
    addresses = [made(api, token, name, maxCostUsd="0.2")["statusUrl"] for name in ("one", "two", "three")]
    other = api.key("shop", Scope.APPROVE)
    clients = [(api.as_(other), address) for address in addresses]

    def raised(pair: Any) -> int:
        return int(pair[0].post(f"{pair[1]}/budget", json={"maxCostUsd": "0.5"}).status_code)

    with ThreadPoolExecutor(3) as pool:
        assert sorted(pool.map(raised, clients)) == [200, 422, 422]


def test_a_budget_that_a_person_set_at_the_installation_holds_and_leaves_nothing_for_others(api: ApiServer) -> None:
    token = limited(api)
    batch, second = made(api, token, "lowered", maxCostUsd="0.8"), made(api, token, "b", prompts=1, maxCostUsd="0.15")
    batch_control.set_budget(api.resources, BatchId(uuid.UUID(batch["id"])), limit_usd=Decimal(50))
    http = api.as_(token)
    assert http.post(f"{batch['statusUrl']}/pause").status_code == 200
    assert http.post(f"{batch['statusUrl']}/resume").status_code == 200
    other = api.as_(api.key("shop", Scope.APPROVE))
    assert other.post(f"{second['statusUrl']}/budget", json={"maxCostUsd": "0.16"}).status_code == 422
    assert other.post(f"{batch['statusUrl']}/budget", json={"maxCostUsd": "60"}).status_code == 422
    assert other.post(f"{batch['statusUrl']}/budget", json={"maxCostUsd": "0.5"}).status_code == 200


def test_a_batch_that_another_key_made_meanwhile_gets_no_row_unweighed(api: ApiServer) -> None:
    other = keys.find(api.resources, api.key("shop", Scope.APPROVE))
    assert other is not None
    order = Order(
        name="q",
        user_id="shop",
        provider="replicate",
        prompts=rows_of(["a cow"]),
        limit_usd=Decimal(50),
        team="shop",
        key_id=other.id,
    )
    plan = prepare(api.resources, order)
    batch = made(api, limited(api), maxCostUsd="0.8")
    with pytest.raises(LostRace, match="somebody else has made a batch 'q'"):
        commit(api.resources, plan)
    told = api.as_(api.key("shop")).get(batch["statusUrl"]).json()
    assert (told["limitUsd"], told["total"]) == ("0.80", 4)


def test_an_ended_batch_that_goes_on_needs_room_for_its_budget_again(api: ApiServer) -> None:
    token = limited(api)
    batch = made(api, token, prompts=1, maxCostUsd="0.8")
    api.work()
    rest = made(api, token, "rest", prompts=1, maxCostUsd="0.85")
    finish = api.as_(token).post(f"{batch['statusUrl']}/finish", json={"steps": ["background"]})
    assert finish.json()["code"] == "limit_too_small"
    assert api.as_(api.key("shop", Scope.APPROVE)).post(f"{batch['statusUrl']}/retry").status_code == 422
    assert api.as_(token).post(f"{rest['statusUrl']}/cancel").status_code == 200
    assert api.as_(token).post(f"{batch['statusUrl']}/finish", json={"steps": ["background"]}).status_code == 200


def test_pictures_that_wait_to_be_finished_count_with_the_batch_s_budget(api: ApiServer) -> None:
    token = limited(api)
    batch = made(api, token, prompts=1, maxCostUsd="0.8")
    api.work()
    http = api.as_(token)
    assert http.post(f"{batch['statusUrl']}/pause").status_code == 200
    assert http.post(f"{batch['statusUrl']}/finish", json={"steps": ["background"]}).status_code == 200
    order = {"name": "more", "prompts": ["a cow"], "maxCostUsd": "0.5"}
    assert http.post("/api/batches", json=order).json()["code"] == "limit_too_small"


def test_a_batch_of_another_month_is_weighed_in_its_month(api: ApiServer) -> None:
    token = limited(api)
    before = [made(api, token, name, prompts=1, maxCostUsd="0.5") for name in ("one", "two")]
    with api.resources.database.transaction() as connection:
        connection.execute(text("UPDATE batches SET created_at = created_at - interval '40 days'"))
    made(api, token, "now", maxCostUsd="0.9")
    other = api.as_(api.key("shop", Scope.APPROVE))
    assert other.post(f"{before[0]['statusUrl']}/budget", json={"maxCostUsd": "0.6"}).status_code == 422
    assert other.post(f"{before[0]['statusUrl']}/budget", json={"maxCostUsd": "0.4"}).status_code == 200
    assert other.post(f"{before[1]['statusUrl']}/budget", json={"maxCostUsd": "0.6"}).status_code == 200


@pytest.mark.parametrize("way", ["budget", "resume", "enqueue"])
def test_a_key_with_a_limit_spends_in_no_batch_of_the_command_line(api: ApiServer, way: str) -> None:
    batch = made(api, api.key("shop"), maxCostUsd="0.8")
    with api.resources.database.transaction() as connection:
        connection.execute(text("UPDATE batches SET key_id = NULL"))
    http = api.as_(api.key("shop", Scope.APPROVE, limit_usd=Decimal(1)))
    if way == "enqueue":
        reply = http.post("/api/batches", json={"name": "q", "userId": "shop", "prompts": ["a"]})
    else:
        reply = http.post(f"{batch['statusUrl']}/{way}", json={"maxCostUsd": "1"})
    assert (reply.status_code, reply.json()["code"]) == (403, "scope_required")
