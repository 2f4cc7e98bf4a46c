"""Each fault on the wire of a real sandbox: what the caller sees, and whether the bill has the job."""

import io
from collections.abc import Iterator

import httpx2
import pytest
from PIL import Image, UnidentifiedImageError

from sandbox.process import running
from tests.support.sandbox_client import Caller, Listener, until


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("sandbox"), latency_s=0.02, size_px=64, callback_pause=0.01) as url:
        yield url


@pytest.fixture
def caller(sandbox: str) -> Iterator[Caller]:
    opened = Caller(sandbox)
    yield opened
    opened.clear()
    opened.close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    opened = Listener()
    yield opened
    opened.close()


@pytest.mark.parametrize("match", [None, "pig"])
def test_a_connection_dropped_before_leaves_no_job(caller: Caller, match: str | None) -> None:
    caller.arm({"where": "submit", "what": "drop_before", "match": match, "count": 1})
    with pytest.raises(httpx2.TransportError):
        caller.imagine()
    assert caller.bill() == []
    assert caller.fired() == [1]
    outcomes = [entry["outcome"] for entry in caller.http.get("/_sandbox/log").json()["submits"]]
    assert any(outcome.startswith("fault drop_before") for outcome in outcomes)
    assert caller.imagine().status_code == 200


@pytest.mark.parametrize("what", ["drop_after", "truncated"])
def test_a_reply_lost_after_acceptance_leaves_a_paid_job(caller: Caller, what: str) -> None:
    caller.arm({"where": "submit", "what": what, "count": 1})
    with pytest.raises(httpx2.TransportError):
        caller.imagine("a pig --v 7 --seed 77")
    line = caller.bill()[0]
    assert line["prompt"] == "a pig --v 7 --seed 77"
    assert caller.ended(line["job_id"])["status"] == "SUCCESS"
    rows = caller.get("fetch-list").json()["data"]
    assert [(row["job_id"], row["prompt"]) for row in rows] == [(line["job_id"], line["prompt"])]


@pytest.mark.parametrize(
    ("what", "status", "jobs"),
    [
        ("status:429", 429, 0),
        ("status:499", 499, 0),
        ("status:402", 402, 0),
        ("status:500", 500, 0),
        ("status:500_before", 500, 0),
        ("status:500_after", 500, 1),
        ("status:504_after", 504, 1),
    ],
)
def test_a_status_comes_before_or_after_acceptance(caller: Caller, what: str, status: int, jobs: int) -> None:
    caller.arm({"where": "submit", "what": what, "count": 1})
    reply = caller.imagine()
    assert (reply.status_code, reply.json()["status"], reply.json()["data"]) == (status, "FAILED", None)
    assert len(caller.bill()) == jobs


@pytest.mark.parametrize(("what", "jobs"), [("html", 0), ("html_after", 1)])
def test_a_page_instead_of_json_may_hide_an_accepted_job(caller: Caller, what: str, jobs: int) -> None:
    caller.arm({"where": "submit", "what": what, "count": 1})
    reply = caller.imagine()
    assert (reply.status_code, reply.headers["content-type"]) == (200, "text/html")
    assert len(caller.bill()) == jobs


def test_a_refusal_may_come_with_a_200(caller: Caller) -> None:
    caller.arm({"where": "submit", "what": "refused:No available accounts", "count": 1})
    reply = caller.imagine()
    assert reply.status_code == 200
    assert reply.json() == {"status": "FAILED", "message": "No available accounts", "data": None}
    assert caller.bill() == []


def test_a_job_can_be_made_to_fail_with_a_message(caller: Caller) -> None:
    caller.arm({"where": "submit", "what": "failed_body:[Bad response] Internal Error.", "count": 1})
    body = caller.ended(caller.accepted())
    assert (body["status"], body["message"]) == ("FAILED", "[Bad response] Internal Error.")
    assert caller.bill()[0]["charged_usd"] == "0.00"


def test_a_stuck_job_goes_on_when_the_faults_are_cleared(caller: Caller) -> None:
    caller.arm({"where": "submit", "what": "stuck", "count": 1})
    stuck, free = caller.accepted(), caller.accepted()
    assert caller.ended(free)["status"] == "SUCCESS"
    assert caller.fetch(stuck)["status"] == "ON_QUEUE"
    caller.clear()
    assert caller.ended(stuck)["status"] == "SUCCESS"


def test_a_reply_can_be_late_while_the_job_is_there_at_once(caller: Caller, sandbox: str) -> None:
    caller.arm({"where": "submit", "what": "delay:30", "count": 1})
    with pytest.raises(httpx2.ReadTimeout):
        caller.http.post("/ttapi/midjourney/v1/imagine", json={"prompt": "a pig", "mode": "fast"}, timeout=0.5)
    assert len(caller.bill()) == 1


def test_a_job_can_be_accepted_after_its_caller_has_gone(caller: Caller) -> None:
    caller.arm({"where": "submit", "what": "delay_before:1.5", "count": 1})
    with pytest.raises(httpx2.ReadTimeout):
        caller.http.post("/ttapi/midjourney/v1/imagine", json={"prompt": "a pig", "mode": "fast"}, timeout=0.2)
    until(lambda: len(caller.bill()) == 1, what="the late acceptance")


def test_a_slow_reply_arrives_whole_but_in_drips(caller: Caller) -> None:
    job_id = caller.accepted()
    caller.ended(job_id)
    whole = caller.get("fetch", jobId=job_id).content
    caller.arm({"where": "fetch", "what": "slow:1", "count": 1})
    with caller.http.stream("GET", "/ttapi/midjourney/v1/fetch", params={"jobId": job_id}) as reply:
        drips = list(reply.iter_raw())
    assert b"".join(drips) == whole
    assert len(drips) > 1


def test_both_documented_spellings_can_be_asked_for(caller: Caller) -> None:
    caller.arm({"where": "submit", "what": "old_shape", "count": 1}, {"where": "fetch", "what": "old_shape"})
    job_id = caller.imagine().json()["data"]["job_id"]
    data = caller.ended(job_id)["data"]
    assert (data["actions"], data["quota"], data["progress"]) == ("imagine", 2, "100%")
    assert "images" not in data
    assert "action" not in data


def test_a_success_may_come_without_its_single_images(caller: Caller) -> None:
    caller.arm({"where": "fetch", "what": "no_images"})
    data = caller.ended(caller.accepted())["data"]
    assert data["images"] is None
    assert data["cdnImage"]


def test_an_undocumented_status_passes(caller: Caller) -> None:
    job_id = caller.accepted()
    caller.ended(job_id)
    caller.arm({"where": "fetch", "what": "unknown_status", "count": 1})
    assert caller.fetch(job_id)["status"] not in {"PENDING_QUEUE", "ON_QUEUE", "SUCCESS", "FAILED"}
    assert caller.fetch(job_id)["status"] == "SUCCESS"


@pytest.mark.parametrize("where", ["fetch", "list"])
def test_reads_fail_too(caller: Caller, where: str) -> None:
    job_id = caller.accepted()
    caller.ended(job_id)
    path, query = ("fetch", {"jobId": job_id}) if where == "fetch" else ("fetch-list", {})
    for what in ("drop_before", "drop_after", "truncated"):
        caller.arm({"where": where, "what": what, "count": 1})
        with pytest.raises(httpx2.TransportError):
            caller.get(path, **query)
    caller.arm({"where": where, "what": "status:503", "count": 1})
    assert caller.get(path, **query).status_code == 503
    caller.arm({"where": where, "what": "html", "count": 1})
    assert caller.get(path, **query).headers["content-type"] == "text/html"
    assert caller.get(path, **query).json()["status"] == "SUCCESS"


def test_a_picture_can_be_anything_but_the_picture(caller: Caller) -> None:
    url = caller.ended(caller.accepted())["data"]["images"][0]
    whole = caller.http.get(url)

    def faulty(what: str) -> httpx2.Response:
        caller.arm({"where": "picture", "what": what, "count": 1})
        return caller.http.get(url)

    assert faulty("expired").status_code == 404
    assert faulty("status:403").status_code == 403
    assert faulty("page").headers["content-type"] == "text/html"
    fake = faulty("fake")
    assert fake.headers["content-type"] == "image/png"
    assert fake.content.startswith(b"<!doctype")
    for what in ("unreadable", "cut_file"):
        broken = faulty(what)
        assert broken.status_code == 200
        with pytest.raises((OSError, SyntaxError, UnidentifiedImageError)):
            Image.open(io.BytesIO(broken.content)).load()
    for what in ("truncated", "drop_before"):
        with pytest.raises(httpx2.TransportError):
            faulty(what)
    assert caller.http.get(url).content == whole.content


def test_a_callback_can_come_twice_late_or_never(caller: Caller, listener: Listener) -> None:
    caller.arm(
        {"where": "callback", "what": "duplicate_callback", "match": "twice"},
        {"where": "callback", "what": "late_callback:0.5", "match": "late"},
        {"where": "callback", "what": "lost_callback", "match": "never"},
    )
    prompts = ("a pig twice", "a pig late", "a pig never")
    twice, late, never = (caller.accepted(prompt, hookUrl=listener.url) for prompt in prompts)
    for job_id in (twice, late, never):
        caller.ended(job_id)
    until(lambda: len(listener.received) == 3, what="three callbacks")
    until(lambda: caller.fired() == [1, 1, 1], what="the lost one too")
    assert sorted(body["jobId"] for body in listener.received) == sorted([twice, twice, late])


def test_a_callback_can_overtake_the_reply_to_its_submission(caller: Caller, listener: Listener) -> None:
    caller.arm({"where": "callback", "what": "early_callback", "count": 1})
    job_id = caller.accepted(hookUrl=listener.url)
    assert [(body["jobId"], body["status"]) for body in listener.received] == [(job_id, "SUCCESS")]


@pytest.mark.parametrize("prompt", ["a pig", "a naked pig"])
def test_a_forged_callback_claims_what_is_not_so(caller: Caller, listener: Listener, prompt: str) -> None:
    caller.arm({"where": "callback", "what": "forged_callback"}, {"where": "submit", "what": "stuck"})
    job_id = caller.accepted(prompt, hookUrl=listener.url)
    until(lambda: listener.received, what="the forged callback")
    forged = listener.received[0]
    assert (forged["status"], forged["jobId"], forged["data"]["jobId"]) == ("SUCCESS", job_id, job_id)
    assert caller.fetch(job_id)["status"] != "SUCCESS"
    assert caller.http.get(forged["data"]["images"][0]).status_code == 404


def test_the_switches_tell_what_is_armed_and_refuse_what_cannot_be(caller: Caller) -> None:
    caller.arm({"where": "submit", "what": "status:429", "rate": 0.5, "count": 3, "match": "x"}, seed=9)
    document = caller.http.get("/_sandbox/faults").json()
    assert document["seed"] == 9
    assert document["faults"] == [
        {
            "where": "submit",
            "provider": None,
            "what": "status:429",
            "rate": 0.5,
            "count": 3,
            "match": "x",
            "fired": 0,
        }
    ]
    assert "drop_after" in document["known"]
    wrong = caller.http.post("/_sandbox/faults", json={"faults": [{"where": "submit", "what": "earthquake"}]})
    assert wrong.status_code == 400
    assert "drop_after" in wrong.json()["error"]
    caller.clear()
    assert caller.http.get("/_sandbox/faults").json()["faults"] == []
