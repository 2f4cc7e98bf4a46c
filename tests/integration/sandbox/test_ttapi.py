"""The TTAPI wire of a real sandbox process: every call's bodies, its limits, and what it draws."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from PIL import Image

from sandbox.moderation import WORDS, Stage
from sandbox.process import running
from tests.support.sandbox_client import Caller, Listener, until

GRID_COMPONENTS = [
    *(f"upsample{number}" for number in (1, 2, 3, 4)),
    "reroll",
    *(f"variation{number}" for number in (1, 2, 3, 4)),
]
SECONDS_AWAY = 60.0  # the usual duration where a job is to stay unfinished


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("quick"), latency_s=0.02, size_px=64, callback_pause=0.01) as url:
        yield url


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("slow"), latency_s=SECONDS_AWAY, size_px=64) as url:
        yield url


@pytest.fixture
def caller(quick: str) -> Iterator[Caller]:
    opened = Caller(quick)
    yield opened
    opened.close()


@pytest.fixture
def waiting(slow: str) -> Iterator[Caller]:
    opened = Caller(slow)
    yield opened
    opened.close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    opened = Listener()
    yield opened
    opened.close()


def picture(caller: Caller, url: str) -> Image.Image:
    reply = caller.http.get(url)
    assert reply.status_code == 200
    assert reply.headers["content-type"] == "image/png"
    image = Image.open(io.BytesIO(reply.content))
    image.load()
    return image


def test_a_finished_imagine_is_a_grid_and_its_four_quarters(caller: Caller) -> None:
    prompt = "a pink pig in a garden --ar 3:2 --v 7"
    reply = caller.imagine(prompt)
    assert reply.json() == {"status": "SUCCESS", "message": "success", "data": {"jobId": reply.json()["data"]["jobId"]}}
    job_id = reply.json()["data"]["jobId"]
    body = caller.ended(job_id)
    data = body["data"]
    assert (body["status"], body["message"], body["jobId"]) == ("SUCCESS", "", job_id)
    assert (data["action"], data["jobId"], data["prompt"]) == ("imagine", job_id, prompt)
    assert (data["progress"], data["quota"], data["seed"], data["hookUrl"]) == ("100", "2", None, None)
    assert data["components"] == GRID_COMPONENTS
    assert [url[-6:] for url in data["images"]] == ["tl.png", "tr.png", "bl.png", "br.png"]
    grid = picture(caller, data["cdnImage"])
    assert grid.size == (data["width"], data["height"]) == (160, 112)
    quarters = [picture(caller, url) for url in data["images"]]
    for index, quarter in enumerate(quarters):
        left, top = index % 2 * 80, index // 2 * 56
        assert grid.crop((left, top, left + 80, top + 56)).tobytes() == quarter.tobytes()
    assert len({quarter.tobytes() for quarter in quarters}) == 4


def test_a_job_waits_and_then_runs_with_growing_progress(waiting: Caller) -> None:
    job_id = waiting.accepted(mode="turbo")
    body = waiting.fetch(job_id)
    assert (body["status"], body["data"]["progress"]) == ("PENDING_QUEUE", "0")
    assert body["data"]["images"] is body["data"]["cdnImage"] is body["data"]["components"] is None


def test_progress_is_a_string_that_never_falls(tmp_path: Path) -> None:
    with running(tmp_path, latency_s=2.0, size_px=64) as url:
        caller = Caller(url)
        job_id = caller.accepted()
        seen: list[dict[str, Any]] = []

        def look() -> bool:
            seen.append(caller.fetch(job_id))
            return seen[-1]["status"] == "SUCCESS"

        until(look, what="success")
        caller.close()
    assert seen[0]["status"] == "PENDING_QUEUE"
    assert "ON_QUEUE" in {body["status"] for body in seen}
    progress = [int(body["data"]["progress"]) for body in seen]
    assert progress == sorted(progress)
    assert len(set(progress)) > 3


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": ""},
        {"prompt": None},
        {"prompt": 7},
        {"mode": "warp"},
        {"mode": ["fast"]},
        {"timeout": 299},
        {"timeout": 1201},
        {"timeout": "soon"},
        {"timeout": 300, "mode": "relax"},
        {"hookUrl": "ftp://somewhere"},
        {"prompt": "a beheaded pig"},
    ],
)
def test_a_submission_that_cannot_be_is_a_400_and_costs_nothing(caller: Caller, fields: dict[str, object]) -> None:
    reply = caller.imagine(**fields)  # type: ignore[arg-type]  # the wrong types are the point
    assert reply.status_code == 400
    body = reply.json()
    assert (body["status"], body["data"]) == ("FAILED", None)
    assert body["message"]
    assert caller.bill() == []


def test_a_body_that_is_no_json_object_is_a_400(caller: Caller) -> None:
    for content in (b"", b"{", b"[]", b"\xff", b'{"prompt": "half a pair \\ud800"}'):
        reply = caller.http.post("/ttapi/midjourney/v1/imagine", content=content)
        assert (reply.status_code, reply.json()["status"]) == (400, "FAILED")


@pytest.mark.parametrize("timeout", [300, "300", 1200, None])
def test_a_timeout_may_be_a_number_or_a_string(caller: Caller, timeout: object) -> None:
    assert caller.imagine(timeout=timeout).status_code == 200


def test_a_missing_key_is_a_401(quick: str, tmp_path: Path) -> None:
    reply = httpx2.post(f"{quick}/ttapi/midjourney/v1/imagine", json={"prompt": "a pig"}, trust_env=False)
    assert (reply.status_code, reply.json()["status"]) == (401, "FAILED")
    with running(tmp_path, key="the-one") as url:
        caller = Caller(url)
        assert caller.imagine().status_code == 401
        caller.http.headers["TT-API-KEY"] = "the-one"
        assert caller.imagine().status_code == 200
        caller.close()


def test_an_unknown_endpoint_and_an_unknown_job_are_404(caller: Caller) -> None:
    assert caller.post("video").status_code == 404
    assert caller.get("imagine").status_code == 404
    assert caller.get("fetch", jobId="nobody").status_code == 404
    assert caller.get("fetch").status_code == 400


def test_a_job_is_seen_with_its_own_key_only(caller: Caller, quick: str) -> None:
    job_id = caller.accepted()
    stranger = Caller(quick)
    assert stranger.get("fetch", jobId=job_id).status_code == 404
    stranger.close()


def test_the_eleventh_unfinished_job_is_a_499(waiting: Caller, slow: str) -> None:
    for _ in range(10):
        waiting.accepted(mode="turbo")
    refused = waiting.imagine()
    assert (refused.status_code, refused.json()["status"], refused.json()["data"]) == (499, "FAILED", None)
    assert len(waiting.bill()) == 10
    other = Caller(slow)
    other.accepted()
    other.close()


def test_an_empty_wallet_is_a_402_and_too_many_a_minute_a_429(tmp_path: Path) -> None:
    with running(tmp_path / "poor", wallet="0.05", size_px=64) as url:
        caller = Caller(url)
        codes = [caller.imagine().status_code for _ in range(3)]
        caller.close()
    assert codes == [200, 200, 402]
    with running(tmp_path / "slow", submits_per_minute=2, size_px=64) as url:
        caller = Caller(url)
        codes = [caller.imagine().status_code for _ in range(3)]
        caller.close()
    assert codes == [200, 200, 429]


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("a pig --ar16:9", "[Invalid parameter]"),
        ("a pig --v 7 --cref http://127.0.0.1:9/a.png", "[Invalid parameter]"),
        ("a pig --v 6.1 --oref http://127.0.0.1:9/a.png", "[Invalid parameter]"),
        ("a pig --v 6.1 --cref http://127.0.0.1:9/a.png", "[Invalid link!]"),
        ("a naked pig", "[Banned prompt detected]"),
    ],
)
def test_an_illegal_prompt_is_accepted_fails_and_is_given_back(caller: Caller, prompt: str, message: str) -> None:
    body = caller.ended(caller.accepted(prompt))
    assert body["status"] == "FAILED"
    assert body["message"].startswith(message)
    data = body["data"]
    for name in ("progress", "cdnImage", "discordImage", "components", "seed", "images"):
        assert data[name] is None, name
    assert data["quota"] == "0"
    assert [(line["status"], line["charged_usd"]) for line in caller.bill()] == [("failed", "0.00")]


def test_a_reference_is_really_fetched_and_changes_the_picture(caller: Caller, listener: Listener) -> None:
    plain = caller.ended(caller.accepted("a pig in a garden --seed 5 --v 6.1"))
    listener.file = caller.http.get(plain["data"]["images"][0]).content
    prompt = f"a pig in a garden --seed 5 --v 6.1 --cref {listener.url}/pig.png --cw 100"
    body = caller.ended(caller.accepted(prompt))
    assert body["status"] == "SUCCESS"
    assert listener.reads == 1
    again = caller.ended(caller.accepted(prompt))
    assert picture(caller, body["data"]["images"][0]).tobytes() == picture(caller, again["data"]["images"][0]).tobytes()


def test_a_reference_that_is_no_picture_is_an_invalid_link(caller: Caller, listener: Listener) -> None:
    listener.file = b"<html>not a picture</html>"
    body = caller.ended(caller.accepted(f"a pig --v 7 --oref {listener.url}/pig.png"))
    assert (body["status"], body["message"]) == ("FAILED", "[Invalid link!]")


def test_a_file_left_with_the_sandbox_has_an_address_by_its_content(caller: Caller) -> None:
    content = caller.http.get(caller.ended(caller.accepted())["data"]["images"][0]).content
    first = caller.http.put("/_sandbox/files", content=content).json()["url"]
    second = caller.http.post("/_sandbox/files", content=content).json()["url"]
    assert first == second
    assert first.endswith(".png")
    assert caller.http.get(first).content == content
    assert caller.http.get("/_sandbox/files/nothing.png").status_code == 404
    assert caller.http.put("/_sandbox/files", content=b"").status_code == 400
    assert caller.ended(caller.accepted(f"a pig --v 7 --oref {first}"))["status"] == "SUCCESS"


def test_only_the_actions_of_a_job_can_follow_it(caller: Caller) -> None:
    parent = caller.accepted()
    done = caller.ended(parent)
    upsample = caller.post("action", jobId=parent, action="upsample2").json()["data"]["jobId"]
    body = caller.ended(upsample)
    assert upsample != parent
    assert (body["data"]["action"], body["data"]["images"]) == ("upsample2", None)
    assert (body["data"]["width"], body["data"]["height"]) == (done["data"]["width"], done["data"]["height"])
    assert "upsample1" not in body["data"]["components"]
    reroll = caller.ended(caller.post("action", jobId=parent, action="reroll").json()["data"]["jobId"])
    assert len(reroll["data"]["images"]) == 4
    for job_id, action in ((parent, "zoom_out_2"), (upsample, "upsample1"), (parent, ["reroll"]), (parent, None)):
        assert caller.post("action", jobId=job_id, action=action).status_code == 400
    assert sorted(line["kind"] for line in caller.bill()) == ["imagine", "reroll", "upsample2"]
    assert {line["charged_usd"] for line in caller.bill()} == {"0.02"}


def test_the_prompt_check_is_free(caller: Caller) -> None:
    assert caller.post("promptCheck", prompt="a pig").json()["message"] == "Prompt verification successful."
    refused = caller.post("promptCheck", prompt="a nude pig").json()
    assert (refused["status"], refused["message"]) == ("FAILED", "banned prompt words: nude")
    assert caller.bill() == []


@pytest.mark.parametrize("word", sorted(WORDS))
def test_what_the_prompt_check_lets_pass_is_no_strike_unless_only_the_picture_shows_it(
    caller: Caller, word: str
) -> None:
    prompt = f"a {word} pig"
    checked = caller.post("promptCheck", prompt=prompt).json()
    made = caller.imagine(prompt)
    ended = caller.ended(made.json()["data"]["jobId"])["message"] if made.status_code == 200 else made.json()["message"]
    objected, said = {
        Stage.DOOR: (True, f"banned prompt words: {word}"),
        Stage.PROMPT: (True, f"[Banned prompt detected] {word}"),
        Stage.PICTURE: (False, "[Image denied]"),
    }[WORDS[word].stage]
    assert (checked["status"] == "FAILED") == objected
    assert made.status_code == (400 if WORDS[word].stage is Stage.DOOR else 200)
    assert ended.startswith(said)


def test_the_account_shows_its_queue_and_its_balance(waiting: Caller) -> None:
    before = waiting.get("info").json()["data"]
    waiting.accepted()
    after = waiting.get("info").json()["data"]
    assert after["max_queue"] == 10
    assert (after["freeze_balance"], before["balance"] - after["balance"]) == (2.0, 2.0)


def test_the_status_of_the_modes_is_open(quick: str) -> None:
    caller = Caller(quick)
    modes = caller.http.get("/ttapi/midjourney/status").json()["data"]
    assert set(modes) == {"relax", "fast", "turbo"}
    assert all(mode["status"] == 200 for mode in modes.values())
    caller.close()


def test_the_history_shows_successes_newest_first_unless_asked_otherwise(caller: Caller) -> None:
    done = [caller.accepted(f"pig number {number} --v 7 --seed {number}") for number in range(3)]
    for job_id in done:
        caller.ended(job_id)
    failed = caller.accepted("a naked pig")
    caller.ended(failed)
    rows = caller.get("fetch-list").json()["data"]
    assert [row["job_id"] for row in rows] == done[::-1]
    row = rows[-1]
    assert (row["status"], row["quota"], row["model"], row["action"]) == (2, 2, "fast", "imagine")
    assert row["prompt"] == "pig number 0 --v 7 --seed 0"
    assert row["cdn_image"] == row["discord_image"]
    assert picture(caller, row["cdn_image"]).size == (128, 128)

    def ids(**query: object) -> list[str]:
        return [row["job_id"] for row in caller.get("fetch-list", **query).json()["data"]]

    assert ids(order="asc") == done
    assert ids(page=2, limit=2) == done[:1]
    assert ids(status="FAILED") == [failed]
    assert ids(status="ON_QUEUE") == []
    for wrong in ({"status": "DONE"}, {"page": 0}, {"limit": "many"}):
        assert caller.get("fetch-list", **wrong).status_code == 400


def test_a_running_job_is_in_the_history_under_its_own_status(waiting: Caller) -> None:
    job_id = waiting.accepted()
    rows = waiting.get("fetch-list", status="PENDING_QUEUE").json()["data"]
    assert [(row["job_id"], row["cdn_image"]) for row in rows] == [(job_id, None)]
    assert rows[0]["status"] != 2


def test_success_and_failure_are_called_back(caller: Caller, listener: Listener) -> None:
    hook = f"{listener.url}/hook/secret"
    good, bad = caller.accepted(hookUrl=hook), caller.accepted("a naked pig", hookUrl=hook)
    until(lambda: len(listener.received) == 2, what="two callbacks")
    bodies = {body["jobId"]: body for body in listener.received}
    assert bodies[good] == caller.fetch(good)
    assert bodies[bad] == caller.fetch(bad)
    assert bodies[good]["data"]["hookUrl"] == hook


def test_a_callback_is_tried_three_times(caller: Caller, listener: Listener) -> None:
    listener.answers = [500, 204, 500]
    first = caller.accepted(hookUrl=listener.url)
    until(lambda: len(listener.received) == 3, what="three tries")
    second = caller.accepted(hookUrl=listener.url)
    until(lambda: len(listener.received) >= 4, what="the next job's callback")
    assert [body["jobId"] for body in listener.received] == [first, first, first, second]


def test_the_bill_and_the_log_tell_every_submission_without_the_key(caller: Caller) -> None:
    job_id = caller.accepted()
    caller.imagine(mode="warp")
    caller.ended(job_id)
    line = caller.bill()[0]
    assert (line["provider"], line["job_id"], line["kind"], line["mode"]) == ("ttapi", job_id, "imagine", "fast")
    assert (line["status"], line["charged_usd"]) == ("succeeded", "0.02")
    assert line["accepted_at"] < line["finished_at"]
    bill = caller.http.get("/_sandbox/bill")
    assert bill.json()["accepted"] == len(bill.json()["jobs"])
    log = caller.http.get("/_sandbox/log")
    mine = [entry for entry in log.json()["submits"] if entry["key_digest"] == line["key_digest"]]
    assert [entry["outcome"][:8] for entry in mine] == ["accepted", "400 The "]
    assert mine[0]["at_s"] < mine[1]["at_s"]
    assert caller.key not in bill.text + log.text
