"""One prompt, its status, its list, its deletion: what the routes promise beside the owner's examples."""

import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from domain.access import Scope
from tests.support.api_server import ApiServer, half_open


def is_problem(reply: httpx2.Response, status: int, code: str) -> bool:
    assert (reply.status_code, reply.headers["content-type"]) == (status, "application/problem+json"), reply.text
    document = reply.json()
    assert document["status"] == status
    assert document["type"] == f"urn:likeness:problem:{document['code']}"
    assert document["detail"]
    return bool(document["code"] == code)


# --- Asking, and waiting for an answer ---


def test_a_prompt_is_accepted_with_an_address_of_its_status(api: ApiServer) -> None:
    reply = api.as_().post("/api/generate/from-prompt", json={"prompt": "a pig"})
    made = reply.json()
    assert (reply.status_code, reply.headers["location"]) == (202, made["statusUrl"])
    assert made["userId"] == "local-admin-0-0", "the key's own user"
    assert api.as_().get(made["statusUrl"]).json()["id"] == made["id"]


def test_an_answer_is_held_until_the_picture_is_there(api: ApiServer) -> None:
    enough = threading.Event()

    def work() -> None:
        while not enough.wait(0.1):
            api.work()

    worker = threading.Thread(target=work)
    worker.start()
    try:
        reply = api.as_(Prefer="wait=45").post("/api/generate/from-prompt", json={"prompt": "a pig"})
    finally:
        enough.set()
        worker.join()
    assert (reply.status_code, reply.json()["status"]) == (200, "completed")
    assert reply.headers["preference-applied"] == "wait=45"


def test_an_answer_is_held_no_longer_than_was_asked(api: ApiServer) -> None:
    made = api.generate()
    reply = api.as_(Prefer="respond-async, wait=1").get(made["statusUrl"])
    assert (reply.status_code, reply.json()["status"]) == (202, "processing")


def test_what_is_left_out_is_said_as_for_a_batch(api: ApiServer) -> None:
    settings = {"provider": "ttapi", "size": "banana", "sed": 7}
    made = api.generate("a pig", settings=settings)
    batch = api.as_().post("/api/batches", json={"name": "pigs", "prompts": ["a pig"], "settings": settings}).json()
    assert made["warnings"] == batch["warnings"]
    assert [one for one in made["warnings"] if "'size'" in one]
    assert [one for one in made["warnings"] if "'sed'" in one]
    assert "warnings" not in api.as_().get(made["statusUrl"]).json(), "they are about the request"


def test_a_held_answer_says_what_was_left_out_too(api: ApiServer) -> None:
    http = api.as_(Prefer="wait=1", **{"Idempotency-Key": "once"})
    body = {"prompt": "a pig", "settings": {"provider": "ttapi", "size": "banana"}}
    for _ in range(2):
        held = http.post("/api/generate/from-prompt", json=body)
        assert held.headers["preference-applied"] == "wait=1"
        assert "'size'" in held.json()["warnings"][0]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "malformed"),
        ({"prompt": ""}, "malformed"),
        ({"prompt": "a pig\x00"}, "malformed"),
        ({"prompt": "a pig", "negativ": "x"}, "malformed"),
        ({"prompt": "a pig", "maxCostUsd": "-1"}, "malformed"),
        ({"prompt": "   "}, "bad_input"),
        ({"prompt": "TODO", "settings": {"style": "vivid"}}, "bad_input"),
        ({"prompt": "a pig", "character": "nobody"}, "bad_input"),
        ({"prompt": "a pig", "settings": {"model": "no-such-model"}}, "bad_input"),
        ({"prompt": "a pig", "settings": {"provider": "replicate", "size": "9K"}}, "bad_input"),
        ({"prompt": "a pig", "settings": {"model": "dall-e-3", "provider": "openai"}}, "model_retired"),
        ({"prompt": "a pig", "maxCostUsd": "0.01"}, "limit_too_small"),
        ({"prompt": "a pig --no hats", "negativePrompt": "text", "settings": {"provider": "ttapi"}}, "bad_input"),
        ({"prompt": "a pig --ar 16:9", "settings": {"size": "square"}}, "bad_input"),
        ({"prompt": "a pig --seed 4", "settings": {"provider": "ttapi", "seed": 5}}, "bad_input"),
        ({"prompt": "a pig", "webhookUrl": "https://user:secret@example.com/"}, "bad_input"),
    ],
)
def test_what_cannot_be_carried_out_is_a_problem_and_nothing_is_written(
    api: ApiServer, body: dict[str, object], code: str
) -> None:
    assert is_problem(api.as_().post("/api/generate/from-prompt", json=body), 422, code)
    assert api.as_().get("/api/generate").json()["generations"] == []


def test_a_body_that_is_too_large_or_never_ends_is_refused(api: ApiServer) -> None:
    large = {"prompt": "a" * 2**20}
    assert is_problem(api.as_().post("/api/generate/from-prompt", json=large), 413, "too_large")
    pieces = api.as_().post("/api/generate/from-prompt", content=iter([b"x" * 600_000] * 2))
    assert is_problem(pieces, 413, "too_large")


def test_half_open_connections_hold_up_nobody(api: ApiServer) -> None:
    begun = b"POST /api/generate/from-prompt HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n{"
    slow = [half_open(api.base, begun) for _ in range(50)]
    try:
        assert api.as_().get("/api/generate").status_code == 200
        assert api.generate()["status"] == "processing"
    finally:
        for one in slow:
            one.close()


# --- Lists ---


def test_a_list_goes_page_by_page_from_the_newest(api: ApiServer) -> None:
    made = [api.generate(f"pig {number}", userId="u1" if number % 2 else "u2")["id"] for number in range(5)]
    http = api.as_()
    first = http.get("/api/generate", params={"limit": 2}).json()
    second = http.get("/api/generate", params={"limit": 2, "cursor": first["nextCursor"]}).json()
    third = http.get("/api/generate", params={"limit": 2, "cursor": second["nextCursor"]}).json()
    listed = [one["id"] for page in (first, second, third) for one in page["generations"]]
    assert listed == made[::-1]
    assert third["nextCursor"] is None
    mine = http.get("/api/generate", params={"userId": "u1"}).json()["generations"]
    assert [one["id"] for one in mine] == [made[3], made[1]]
    assert http.get("/api/generate", params={"status": "completed"}).json()["generations"] == []


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "cursor=!", "cursor=AAAA", "status=gone"])
def test_a_page_that_cannot_be_is_a_problem(api: ApiServer, query: str) -> None:
    reply = api.as_().get(f"/api/generate?{query}")
    assert (reply.status_code, reply.headers["content-type"]) == (422, "application/problem+json")


# --- Deletion ---


def test_a_deleted_generation_leaves_the_ledger_and_a_tombstone(api: ApiServer, home: Path) -> None:
    made, http = api.generate(), api.as_()
    api.work()
    (asset,) = http.get(made["statusUrl"]).json()["assets"]
    (file,) = [one for one in (home / "pictures").rglob("*.*") if one.is_file() and one.stem in asset["r2Key"]]
    first = http.delete(made["statusUrl"]).json()
    assert (first["finished"], first["picturesRemoved"]) == (True, 1)
    assert not file.exists()
    assert http.delete(made["statusUrl"]).json() == first
    assert is_problem(http.get(made["statusUrl"]), 410, "deleted")
    assert is_problem(http.get(asset["url"]), 404, "unknown_thing")
    assert http.get("/api/generate").json()["generations"] == []
    assert api.books.generation(made["id"]).cost > 0


def test_what_waits_is_canceled_and_what_runs_is_removed_when_it_comes(api: ApiServer) -> None:
    from pipeline.operator import deletion

    made, http = api.generate(), api.as_()
    api.resources.lanes  # noqa: B018 -- the lane is open: the job is sent below
    from pipeline.attempts import submit

    for attempt_id in api.sent.take("submit"):
        submit.submit(api.resources, attempt_id)
    first = http.delete(made["statusUrl"]).json()
    assert not first["finished"]
    api.work()
    assert api.books.generation(made["id"]).state == "canceled"
    assert deletion.finish_some(api.resources) == 1
    assert http.delete(made["statusUrl"]).json()["finished"]


def test_a_picture_that_two_generations_share_stays_for_the_other(api: ApiServer) -> None:
    one, other = api.generate(), api.generate()
    api.work()
    http = api.as_()
    keys = [http.get(made["statusUrl"]).json()["assets"][0]["r2Key"] for made in (one, other)]
    api.books.sql(
        "UPDATE generation_assets SET r2_key = :key, sha256 = :digest", key=keys[0], digest=Path(keys[0]).stem
    )
    http.delete(one["statusUrl"])
    (left,) = http.get(other["statusUrl"]).json()["assets"]
    assert http.get(left["url"]).status_code == 200
    http.delete(other["statusUrl"])
    assert not api.resources.store.path_of(keys[0]).exists()  # type: ignore[union-attr]  # a folder has paths


# --- Feedback ---


def test_whether_a_picture_shows_its_character_takes_another_scope(api: ApiServer) -> None:
    made = api.generate()
    api.work()
    lesser = api.as_(api.key(scope=Scope.GENERATE))
    said = lesser.post(f"{made['statusUrl']}/feedback", json={"feedbackType": "accepted"})
    assert is_problem(said, 403, "scope_required")
    assert lesser.post(f"{made['statusUrl']}/feedback", json={"feedbackType": "heart"}).status_code == 201
    wrong = lesser.post(f"{made['statusUrl']}/feedback", json={"feedbackType": "rating"})
    assert is_problem(wrong, 422, "bad_input")


# --- Once ---


def test_thirty_two_clients_with_one_idempotency_key_make_one_picture(api: ApiServer) -> None:
    token, key = api.key(), uuid.uuid4().hex

    def ask(_: int) -> tuple[int, str]:
        reply = httpx2.post(
            f"{api.base}/api/generate/from-prompt",
            json={"prompt": "a pig"},
            headers={"Authorization": f"Bearer {token}", "Idempotency-Key": key},
            trust_env=False,
            timeout=60,
        )
        return reply.status_code, reply.text

    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(ask, range(32)))
    assert {status for status, _ in answers} == {202}
    assert len({text for _, text in answers}) == 1
    assert len(api.as_().get("/api/generate").json()["generations"]) == 1
    other = api.as_(**{"Idempotency-Key": key}).post("/api/generate/from-prompt", json={"prompt": "a cow"})
    assert is_problem(other, 422, "key_reused")


def test_a_refused_request_does_not_use_its_key_up(api: ApiServer) -> None:
    http = api.as_(**{"Idempotency-Key": "once"})
    assert is_problem(http.post("/api/generate/from-prompt", json={"prompt": " "}), 422, "bad_input")
    assert http.post("/api/generate/from-prompt", json={"prompt": "a pig"}).status_code == 202


def test_an_answer_is_kept_for_a_day(api: ApiServer) -> None:
    http = api.as_(**{"Idempotency-Key": "daily"})
    first = http.post("/api/generate/from-prompt", json={"prompt": "a pig"}).json()
    api.books.sql("UPDATE kept_answers SET created_at = now() - interval '25 hours'")
    assert http.post("/api/generate/from-prompt", json={"prompt": "a cow"}).json()["id"] != first["id"]


# --- Keys ---


def test_without_a_key_nothing_is_told(api: ApiServer) -> None:
    for headers in ({}, {"Authorization": "Bearer lk_nothing"}, {"X-API-Key": "lk_0123456789"}):
        reply = httpx2.get(f"{api.base}/api/generate", headers=headers, trust_env=False)
        assert is_problem(reply, 401, "key_required")
        assert reply.headers["www-authenticate"].startswith("Bearer")


def test_a_revoked_key_is_worth_nothing(api: ApiServer) -> None:
    from pipeline.operator import keys

    token = api.key("local", Scope.READ)
    assert api.as_(token).get("/api/generate").status_code == 200
    keys.revoke(api.resources, token[:11])
    time.sleep(1.1)  # as long as a key is remembered
    assert api.as_(token).get("/api/generate").status_code == 401


def test_a_key_asks_no_faster_than_it_may(api: ApiServer) -> None:
    http = api.as_(api.key(rate_limit="2/s"))
    replies = [http.get("/api/generate") for _ in range(12)]
    limited = [reply for reply in replies if reply.status_code == 429]
    assert limited
    assert is_problem(limited[0], 429, "too_many_requests")
    assert int(limited[0].headers["retry-after"]) >= 1


def test_a_key_spends_no_more_than_its_limit(api: ApiServer) -> None:
    from decimal import Decimal

    token = api.key(limit_usd=Decimal("0.50"), scope=Scope.GENERATE)

    def ask(number: int) -> int:
        body = {"prompt": f"pig {number}"}
        headers = {"Authorization": f"Bearer {token}"}
        return httpx2.post(
            f"{api.base}/api/generate/from-prompt", json=body, headers=headers, trust_env=False, timeout=60
        ).status_code

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(8)))
    assert sorted(answers) == [202] * 3 + [422] * 5, "three of 0.15 dollars fit into half a dollar"
