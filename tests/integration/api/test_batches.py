"""Batches over HTTP: made of JSON and of files, steered, told apart by team, reported and exported."""

import io
import uuid
import zipfile
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import httpx2
import openpyxl
import pytest
from openpyxl.worksheet.worksheet import Worksheet

from domain.access import Scope
from domain.ids import BatchId
from pipeline.operator import batch_control, events, keys, lanes
from pipeline.operator.keys import NewKey
from tests.support.api_server import ApiServer
from tests.support.workbooks import rows, xlsx

CSV = "theme,prompt\nrain,a pig in the rain\nsea,a pig at sea\nsea,a pig on a ship\n"
IN_QUERY = {"name": "from a file", "provider": "replicate", "maxCostUsd": "2"}


def made(api: ApiServer, *prompts: str, token: str | None = None, **body: Any) -> Any:
    order = {"name": f"batch {uuid.uuid4()}", "prompts": list(prompts) or ["a pig", "a cow"], **body}
    reply = api.as_(token).post("/api/batches", json=order)
    assert reply.status_code == 202, reply.text
    return reply.json()


def test_a_file_becomes_a_batch_and_again_adds_nothing(api: ApiServer) -> None:
    http = api.as_(**{"Content-Type": "text/csv"})
    priced = http.post("/api/batches", params={**IN_QUERY, "dryRun": "true"}, content=CSV)
    assert (priced.status_code, priced.json()["expectedUsd"], priced.json()["id"]) == (200, "0.45", None)
    assert api.as_().get("/api/batches").json()["batches"] == []
    first = http.post("/api/batches", params=IN_QUERY, content=CSV)
    assert (first.status_code, first.json()["new"], first.headers["location"]) == (202, 3, first.json()["statusUrl"])
    again = http.post("/api/batches", params=IN_QUERY, content=CSV).json()
    assert (again["id"], again["new"], again["known"]) == (first.json()["id"], 0, 3)
    api.work()
    ended = api.as_().get(first.json()["statusUrl"]).json()
    assert (ended["accepted"], ended["finished"], ended["chargedUsd"], ended["limitUsd"]) == (3, True, "0.45", "2.00")
    assert [act["act"] for act in ended["acts"]] == ["enqueued", "enqueued"]


def test_a_style_in_words_stands_before_the_flags_of_each_prompt(api: ApiServer) -> None:
    taken = made(api, "a pig --no hats", "a cow", settings={"provider": "ttapi", "style": "vivid"})
    page = api.as_().get("/api/generate", params={"batchId": taken["id"]}).json()["generations"]
    words = "Style: vivid, dramatic, hyper-real."
    assert [one["prompt"] for one in page] == [f"a cow {words}", f"a pig {words} --no hats"]


def test_a_style_in_words_is_a_block_where_a_stage_writes_the_prompt(api: ApiServer) -> None:
    rows = [{"vlt": {"garmentType": "gown"}}, {"prompt": "a doll --no hats", "vlt": {"garmentType": "gown"}}]
    taken = api.as_().post(
        "/api/batches", json={"name": "worn", "prompts": rows, "settings": {"provider": "ttapi", "style": "vivid"}}
    )
    api.work()
    page = api.as_().get("/api/generate", params={"batchId": taken.json()["id"]}).json()["generations"]
    words = "Style: vivid, dramatic, hyper-real."
    assert [one["prompt"].partition(words)[2] for one in page] == [" --no hats", ""]


def test_a_workbook_becomes_a_batch_and_says_what_was_odd_about_it(api: ApiServer) -> None:
    def fill(book: openpyxl.Workbook, sheet: Worksheet) -> None:
        rows(["prompt", "ar"], ["a pig", "16:9"], ["a cow", "3:2"])(book, sheet)
        sheet.row_dimensions[3].hidden = True

    query = {"name": "from a workbook", "provider": "replicate"}
    http = api.as_(**{"Content-Type": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"})
    taken = http.post("/api/batches", params={**query, "dryRun": "true"}, content=xlsx(fill))
    assert (taken.status_code, taken.json()["new"]) == (200, 1), taken.text
    assert any("hidden" in warning for warning in taken.json()["warnings"])
    wrong = http.post("/api/batches", params={**query, "sheet": "Nowhere"}, content=xlsx(fill))
    assert (wrong.status_code, "Nowhere" in wrong.json()["detail"]) == (422, True)
    broken = http.post("/api/batches", params=query, content=xlsx(fill)[:500])
    assert (broken.status_code, broken.json()["type"]) == (422, wrong.json()["type"])
    assert api.as_().get("/api/batches").json()["batches"] == []


@pytest.mark.parametrize(
    ("content", "kind", "query", "status"),
    [
        ("theme\nrain\n", "text/csv", IN_QUERY, 422),
        (CSV, "text/csv", {}, 422),
        ("{", "application/json", {}, 422),
        ('{"name": "x", "prompts": []}', "application/json", {}, 422),
        (CSV, "application/pdf", IN_QUERY, 415),
        ("\x00\xff", "text/csv", IN_QUERY, 422),
    ],
)
def test_what_cannot_be_read_is_a_problem(
    api: ApiServer, content: str, kind: str, query: dict[str, str], status: int
) -> None:
    reply = api.as_().post(
        "/api/batches", content=content.encode("latin-1"), params=query, headers={"Content-Type": kind}
    )
    assert (reply.status_code, reply.headers["content-type"]) == (status, "application/problem+json"), reply.text


def test_one_idempotency_key_makes_one_batch_of_thirty_two_requests(api: ApiServer) -> None:
    headers = {"Authorization": f"Bearer {api.key()}", "Idempotency-Key": "the same"}
    order = {"name": "once", "prompts": ["a pig", "a cow"]}

    def ask(_: int) -> str:
        return httpx2.post(f"{api.base}/api/batches", json=order, headers=headers, trust_env=False, timeout=60).text

    with ThreadPoolExecutor(32) as pool:
        answers = set(pool.map(ask, range(32)))
    assert len(answers) == 1
    (batch,) = api.as_().get("/api/batches").json()["batches"]
    assert (batch["total"], '"new":2' in answers.pop().replace(" ", "")) == (2, True)


def test_a_batch_is_paused_resumed_and_canceled(api: ApiServer) -> None:
    batch, http = made(api), api.as_()
    address = batch["statusUrl"]
    assert http.post(f"{address}/pause", json={"reason": "a look first"}).json()["paused"] == "a look first"
    assert http.post(f"{address}/resume").json()["paused"] is None
    canceled = http.post(f"{address}/cancel").json()
    assert (canceled["asked"], canceled["batch"]["counts"]["canceled"]) == (2, 2)
    retried = http.post(f"{address}/retry", json={"states": ["canceled"]}).json()
    assert retried["queued"] == 2
    api.work()
    ended = http.get(address).json()
    assert ended["accepted"] == 2
    assert [act["act"] for act in ended["acts"]] == ["retried", "canceled", "resumed", "paused", "enqueued"]


def test_accepted_pictures_are_finished_once_within_the_budget(api: ApiServer) -> None:
    batch = made(api, "a pig", maxCostUsd="1")
    address, wish = f"{batch['statusUrl']}/finish", {"steps": ["background"]}
    early = api.as_().post(address, json=wish)
    assert (early.status_code, "no accepted picture" in early.json()["detail"]) == (422, True)
    api.work()
    assert api.as_(api.key(scope=Scope.READ)).post(address, json=wish).status_code == 403
    assert api.as_(api.key("other")).post(address, json=wish).status_code == 404
    http = api.as_(**{"Idempotency-Key": "cut it out"})
    wrong = api.as_().post(address, json={**wish, "model": "no/such"})
    assert (wrong.status_code, api.as_().post(address, json={"steps": []}).status_code) == (422, 422)
    first = http.post(address, json=wish)
    assert (first.status_code, http.post(address, json=wish).json()) == (200, first.json()), first.text
    taken = first.json()
    assert (taken["asked"], taken["atMostUsd"], taken["shortUsd"]) == (1, "0.018", "0.00")
    assert taken["batch"]["finished"] is False
    canceled = api.as_().post(f"{batch['statusUrl']}/cancel").json()
    assert (canceled["asked"], canceled["finishing"], canceled["batch"]["heldUsd"]) == (0, 0, "0.00")
    assert canceled["batch"]["finished"] is True
    assert [act["act"] for act in api.as_().get(batch["statusUrl"]).json()["acts"]][:2] == ["canceled", "finished"]


def test_a_budget_is_raised_by_who_may_approve(api: ApiServer) -> None:
    batch = made(api, *[f"pig {number}" for number in range(4)], maxCostUsd="0.20")
    api.work()
    address = batch["statusUrl"]
    assert api.as_().get(address).json()["stopped"] == "budget"
    lesser = api.as_(api.key(scope=Scope.GENERATE))
    assert lesser.post(f"{address}/budget", json={"maxCostUsd": "5"}).status_code == 403
    assert lesser.post(f"{address}/resume", json={"maxCostUsd": "5"}).status_code == 403
    assert lesser.post(f"{address}/retry").status_code == 403
    raised = api.as_(api.key(scope=Scope.APPROVE)).post(f"{address}/budget", json={"maxCostUsd": "5"}).json()
    assert (raised["limitUsd"], raised["stopped"]) == ("5.00", None)
    api.work()
    assert api.as_().get(address).json()["accepted"] == 4


def test_a_key_with_a_limit_raises_no_budget_above_it(api: ApiServer) -> None:
    token = api.key(scope=Scope.APPROVE, limit_usd=Decimal(1))
    batch = made(api, "a pig", token=token, maxCostUsd="0.50")
    http = api.as_(token)
    assert http.post(f"{batch['statusUrl']}/budget", json={"maxCostUsd": "0.90"}).status_code == 200
    assert http.post(f"{batch['statusUrl']}/budget", json={"maxCostUsd": "1.10"}).json()["code"] == "limit_too_small"
    assert http.post(f"{batch['statusUrl']}/budget", json={"maxCostUsd": None}).status_code == 422
    other = made(api, "a cow")
    assert http.post(f"{other['statusUrl']}/resume").json()["code"] == "scope_required"


def test_report_and_export_are_files_to_pass_on(api: ApiServer) -> None:
    batch, http = made(api), api.as_()
    api.work()
    report = http.get(f"{batch['statusUrl']}/report")
    assert report.headers["content-security-policy"].startswith("sandbox")
    assert "2</strong><span> of 2" in report.text
    packed = zipfile.ZipFile(io.BytesIO(http.get(f"{batch['statusUrl']}/export").content))
    assert len([name for name in packed.namelist() if name.endswith((".png", ".jpg"))]) == 2
    assert any(name.endswith("generation_log.csv") for name in packed.namelist())


def test_the_overview_says_what_there_is_and_what_it_came_to(api: ApiServer) -> None:
    made(api)
    api.work()
    http = api.as_()
    cost = http.get("/api/cost").json()
    assert (cost["chargedUsd"], cost["accepted"], cost["usdPerAccepted"]) == ("0.30", 2, "0.15")
    assert cost["days"][0]["calls"] == 2
    for by in ("day", "user", "model"):
        (figure,) = http.get("/api/stats", params={"by": by}).json()["figures"]
        assert (figure["accepted"], figure["successRate"], figure["costUsd"]) == (2, 1.0, "0.30")
        assert figure["generatingS"] is not None
    assert {lane["name"] for lane in http.get("/api/lanes").json()["lanes"]} == {
        "ttapi",
        "replicate",
        "openai",
        "sandbox",
    }
    served = {model["name"] for model in http.get("/api/models").json()["models"] if model["served"]}
    assert "google/nano-banana-pro" in served
    assert http.get("/api/characters").json() == {"characters": []}


def test_what_running_batches_will_still_cost_is_told_to_their_team(api: ApiServer) -> None:
    batch, http = made(api, *(f"pig {number}" for number in range(12)), maxCostUsd="1.50"), api.as_()
    (few,) = http.get("/api/cost").json()["forecasts"]
    assert (few["batchId"], few["finished"], few["unfinished"], few["restUsd"]) == (batch["id"], 0, 12, None)
    api.work()
    (one,) = http.get("/api/cost").json()["forecasts"]
    assert (one["finished"], one["unfinished"], one["chargedUsd"]) == (10, 2, "1.50")
    assert (one["restUsd"], one["totalUsd"], one["exceedsBudget"]) == ("0.30", "1.80", True)
    assert api.as_(api.key("others")).get("/api/cost").json()["forecasts"] == []


def test_who_did_what_is_told_by_member_and_key(api: ApiServer) -> None:
    http = api.as_(api.key(member="ana"))
    made = http.post("/api/batches", json={"name": "told", "prompts": ["a pig"]}).json()
    address = made["statusUrl"]
    http.post(f"{address}/pause", json={"reason": "lunch"})
    http.post(f"{address}/budget", json={"maxCostUsd": "9"})
    (one,) = http.get(f"{address}/generations").json()["generations"]
    http.post(f"{one['statusUrl']}/feedback", json={"feedbackType": "comment", "comment": "nice"})
    batch_control.pause(api.resources, BatchId(uuid.UUID(made["id"])), reason="here")
    events.note_act_here(api.resources, "boss", "paused", batch_id=BatchId(uuid.UUID(made["id"])))
    acts = http.get(address).json()["acts"]
    assert [(act["act"], act["actor"], act["key"] is None) for act in acts] == [
        ("paused", "boss", True),
        ("feedback", "ana", False),
        ("budget", "ana", False),
        ("paused", "ana", False),
        ("enqueued", "ana", False),
    ]
    (told,) = http.get(one["statusUrl"]).json()["acts"]
    assert (told["act"], told["actor"], told["generationId"]) == ("feedback", "ana", one["id"])


def test_who_changed_keys_and_limits_is_told_to_their_team(api: ApiServer) -> None:
    new = NewKey(name="ana-laptop", member="ana", scope=Scope.GENERATE, rate_limit="9/m", limit_usd=Decimal(5))
    keys.create(api.resources, new, by="boss")
    keys.revoke(api.resources, "ana-laptop", by="boss")
    keys.revoke(api.resources, "ana-laptop", by="boss")  # was revoked: nothing is done
    for _ in range(2):  # every worker is told by Flower; the second changes nothing
        lanes.set_rate_limit(api.resources, "ttapi", "7/m", by="boss")
    lanes.set_concurrency(api.resources, "ttapi", 3, by="boss")
    lanes.close(api.resources, "ttapi", reason="lunch", by="boss")
    lanes.reopen(api.resources, "ttapi", by="boss")
    told = [act for act in api.as_().get("/api/acts").json()["acts"] if act["actor"] == "boss"]
    done = ["lane opened", "lane closed", "lane limited", "lane limited", "key revoked", "key created"]
    assert [act["act"] for act in told] == done
    assert {act["detail"]["lane"] for act in told[:4]} == {"ttapi"}
    assert (told[2]["detail"]["concurrency"], told[3]["detail"]["rate"]) == (3, "7/m")
    may = {"key": "ana-laptop", "member": "ana", "scope": "generate", "rate": "9/m", "limitUsd": "5.00"}
    assert told[5]["detail"] == may
    assert [act["act"] for act in api.as_(api.key("others")).get("/api/acts").json()["acts"]] == ["key created"]
