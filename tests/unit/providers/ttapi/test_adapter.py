"""TTAPI's wire, against bodies as its pages and clients show them (PROVIDERS.md 1)."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import (
    ContentRefused,
    JobFailed,
    KeyRefused,
    MaybeSent,
    OutOfMoney,
    ProviderError,
    QueueFull,
    RateLimited,
    RequestRefused,
)
from providers.contract import Accepted
from providers.seeds import seed_of
from providers.ttapi.modes import job_timeout_s
from tests.support.ttapi_bodies import (
    ADAPTER,
    JOB,
    ask,
    reply,
    submit_failure,
)


def test_a_submission_says_everything_that_ttapi_would_otherwise_guess() -> None:
    call = ADAPTER.build_submit(ask(settings={"seed": 7, "ar": "3:2"}, hook_url="https://us/hooks/ttapi/t-1"))
    assert (call.method, call.path, call.repeatable) == ("POST", "/midjourney/v1/imagine", False)
    assert call.json == {
        "prompt": "a pig --ar 3:2 --v 7 --seed 7",
        "mode": "relax",
        "timeout": 900,
        "translation": False,
        "getUImages": True,
        "hookUrl": "https://us/hooks/ttapi/t-1",
    }
    assert call.total_s == ADAPTER.submit_total_s


def test_without_a_public_address_there_is_no_hook() -> None:
    assert "hookUrl" not in (ADAPTER.build_submit(ask()).json or {})


def test_nothing_of_ours_is_sent_but_a_seed_made_of_the_attempt() -> None:
    call = ADAPTER.build_submit(ask(attempt_id="attempt-secret", token="token-secret"))
    assert "secret" not in json.dumps(call.json)
    assert f"--seed {seed_of('attempt-secret')}" in (call.json or {})["prompt"]
    assert seed_of("attempt-secret") != seed_of("attempt-other")
    assert 0 <= seed_of("attempt-secret") < 2**32


def test_the_text_that_is_sent_is_the_text_that_is_kept() -> None:
    asked = ask(reference_urls=["https://r/1.png", "https://r/2.png"])
    assert ADAPTER.prompt_text(asked) == (ADAPTER.build_submit(asked).json or {})["prompt"]


@pytest.mark.parametrize(
    ("model", "flag"),
    [
        ("midjourney", "--v 7"),
        ("midjourney-v6.1", "--v 6.1"),
        ("midjourney-v8.1", "--v 8.1"),
        ("midjourney-niji-6", "--niji 6"),
    ],
)
def test_a_model_s_name_pins_its_version(model: str, flag: str) -> None:
    assert f" {flag} " in ADAPTER.prompt_text(ask(model=model))


def test_a_version_against_the_model_s_name_is_refused() -> None:
    assert " --v 6.1 " in ADAPTER.prompt_text(ask(model="midjourney-v6.1", settings={"v": 6.1}))
    with pytest.raises(RequestRefused, match="take one of them out"):
        ADAPTER.prompt_text(ask(model="midjourney-v6.1", settings={"v": 7}))
    with pytest.raises(RequestRefused, match="no model 'dall-e-3'"):
        ADAPTER.prompt_text(ask(model="dall-e-3"))


@pytest.mark.parametrize(
    ("settings", "timeout"),
    [
        ({}, 900),
        ({"mode": "fast"}, 300),
        ({"mode": "Turbo"}, 300),
        ({"mode": "relax", "timeout": 600}, 600),
        ({"mode": "fast", "timeout": "1200"}, 1200),
    ],
)
def test_the_job_s_own_time_limit_is_always_sent(settings: dict[str, Any], timeout: int) -> None:
    assert job_timeout_s(settings) == timeout
    assert (ADAPTER.build_submit(ask(settings=settings)).json or {})["timeout"] == timeout


@pytest.mark.parametrize(
    "settings",
    [
        {"timeout": 599},
        {"mode": "fast", "timeout": 299},
        {"timeout": 1201},
        {"timeout": "soon"},
        {"timeout": True},
        {"mode": "warp"},
    ],
)
def test_what_ttapi_does_not_allow_is_refused_before_anything_is_sent(settings: dict[str, Any]) -> None:
    with pytest.raises(RequestRefused, match=r"^(timeout|mode) is"):
        ADAPTER.build_submit(ask(settings=settings))


@pytest.mark.parametrize("key", ["job_id", "jobId"])
@pytest.mark.parametrize("status", [200, 201])
def test_both_spellings_of_an_acceptance_are_understood(key: str, status: int) -> None:
    answer = reply({"status": "SUCCESS", "message": "success", "data": {key: JOB}}, status)
    assert ADAPTER.read_submit(answer) == Accepted(job_id=JOB)


def test_a_numeric_job_id_is_kept_as_text() -> None:
    assert ADAPTER.read_submit(reply({"status": "SUCCESS", "data": {"jobId": 17}})) == Accepted(job_id="17")


@pytest.mark.parametrize(
    ("status", "body", "kind", "shown"),
    [
        (400, {"message": "prompt cannot be empty"}, RequestRefused, "[request_refused] 400: prompt cannot be empty"),
        (
            400,
            {"message": "banned prompt words: blood"},
            ContentRefused,
            "[content_refused] 400: banned prompt words: blood",
        ),
        (400, {"message": "[TTAPI prompt filter] no"}, ContentRefused, "[TTAPI prompt filter] 400: no"),
        (400, {"message": "No available accounts"}, QueueFull, "[queue_full] 400: No available accounts"),
        (400, b"<html>", RequestRefused, "[request_refused] 400: no reason given"),
        (401, {"message": "Invalid key"}, KeyRefused, "[key_refused] 401: Invalid key"),
        (402, {"message": "Balance not enough"}, OutOfMoney, "[out_of_money] 402: Balance not enough"),
        (403, {"message": "blocked"}, KeyRefused, "[key_refused] 403: blocked"),
        (404, b"", RequestRefused, "[request_refused] 404: no reason given"),
        (429, {"message": "slow down"}, RateLimited, "[rate_limited] 429: slow down"),
        (499, {"message": "queue is full"}, QueueFull, "[queue_full] 499: queue is full"),
        (
            200,
            {"status": "FAILED", "message": "[Banned prompt detected] x", "data": None},
            ContentRefused,
            "[Banned prompt detected] FAILED: x",
        ),
        (
            200,
            {"status": "FAILED", "message": "[Invalid parameter] --x", "data": None},
            RequestRefused,
            "[Invalid parameter] FAILED: --x",
        ),
        (
            200,
            {"status": "FAILED", "message": "[Internal error]", "data": None},
            JobFailed,
            "[Internal error] FAILED: no reason given",
        ),
        (200, {"status": "FAILED", "message": "never seen", "data": {}}, JobFailed, "[job_failed] FAILED: never seen"),
    ],
)
def test_a_documented_refusal_is_certain(status: int, body: object, kind: type[ProviderError], shown: str) -> None:
    failure = submit_failure(reply(body, status))
    assert type(failure) is kind
    assert str(failure) == shown


@pytest.mark.parametrize(
    "status", [100, 101, 300, 302, 307, 405, 408, 409, 410, 413, 422, 500, 502, 503, 504, 520, 599]
)
def test_any_other_status_leaves_a_doubt(status: int) -> None:
    accepted = {"status": "SUCCESS", "data": {"jobId": JOB}}
    refused = {"status": "FAILED", "message": "x", "data": None}
    for body in (accepted, {**refused, "data": {"jobId": JOB}}, b"", *([] if status == 422 else [refused])):
        assert type(submit_failure(reply(body, status))) is MaybeSent


def test_a_422_is_a_refusal_only_with_the_body_that_ttapi_documents_for_one() -> None:
    refused = {"status": "FAILED", "message": "The mode field is required.", "data": None}
    failure = submit_failure(reply(refused, 422))
    assert type(failure) is RequestRefused
    assert str(failure) == "[request_refused] 422: The mode field is required."
    assert type(submit_failure(reply({"message": "The mode field is required."}, 422))) is MaybeSent


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>ok</html>",
        b"null",
        b"[]",
        b'"SUCCESS"',
        b"\xff\xfe",
        b"[" * 100_000,
        {},
        {"status": "SUCCESS"},
        {"status": "SUCCESS", "data": None},
        {"status": "SUCCESS", "data": {"jobId": ""}},
        {"status": "SUCCESS", "data": {"jobId": None}},
        {"status": "SUCCESS", "data": [JOB]},
        {"status": "success", "data": {"jobId": JOB}},
        {"status": "FAILED", "data": {"jobId": JOB}},
        {"data": {"jobId": JOB}},
    ],
)
def test_an_unreadable_success_leaves_a_doubt(body: object) -> None:
    assert type(submit_failure(reply(body))) is MaybeSent


@pytest.mark.parametrize("status", [429, 499, 402])
def test_a_wait_asked_for_is_passed_on_in_seconds(status: int) -> None:
    assert submit_failure(reply({}, status, **{"retry-after": "7"})).retry_after_s == 7


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["status", "message", "data", "jobId", "job_id", "images", "progress", "quota", "error", "cdnImage"]
            )
            | st.text(max_size=3),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(body=JSON, status=st.sampled_from([200, 201, 400, 402, 404, 429, 499, 500]))
def test_no_answer_to_a_submission_is_ever_anything_but_accepted_refused_or_in_doubt(body: object, status: int) -> None:
    try:
        accepted = ADAPTER.read_submit(reply(body, status))
    except ProviderError:
        return
    assert accepted.job_id


@given(body=JSON, status=st.sampled_from([200, 404, 429, 500]))
def test_no_answer_to_a_poll_surprises(body: object, status: int) -> None:
    answer = reply(body, status)
    for read in (ADAPTER.read_poll, ADAPTER.read_fetch_list, ADAPTER.read_info):
        try:
            read(answer)
        except ProviderError:
            continue
