"""TTAPI's wire, against bodies as its pages and clients show them (PROVIDERS.md 1)."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import (
    ContentRefused,
    JobFailed,
    JobTimedOut,
    KeyRefused,
    MaybeSent,
    OutOfMoney,
    ProviderDown,
    ProviderError,
    QueueFull,
    RateLimited,
    ReplyUnreadable,
    RequestRefused,
)
from providers.contract import Accepted, Ask, Made, Reply, Running
from providers.listed import ListedJob
from providers.seeds import seed_of
from providers.ttapi.adapter import TTAPI
from providers.ttapi.modes import job_timeout_s

ADAPTER = TTAPI()
JOB = "6d7765ac-f2dd-440b-8464-660e2f83f3a5"
CDN = "https://cdn.ttapi.io/mj"

FINISHED: dict[str, Any] = {
    "status": "SUCCESS",
    "message": "success",
    "jobId": JOB,
    "data": {
        "jobId": JOB,
        "action": "imagine",
        "prompt": "a pig --v 7",
        "progress": "100",
        "quota": "2",
        "cdnImage": f"{CDN}/grid.png",
        "discordImage": None,
        "width": 1024,
        "height": 1024,
        "components": ["upsample1", "reroll"],
        "images": [f"{CDN}/{corner}.png" for corner in ("tl", "tr", "bl", "br")],
        "seed": None,
        "hookUrl": "",
    },
}
NOTHING = dict.fromkeys(("progress", "cdnImage", "discordImage", "components", "seed", "images"))


def ask(**changes: Any) -> Ask:
    return Ask(**{"attempt_id": "a-1", "token": "t-1", "model": "midjourney", "prompt": "a pig", **changes})


def reply(body: object, status: int = 200, **headers: str) -> Reply:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reply(status=status, headers=headers, content=content)


def failed(message: object, **data: Any) -> Reply:
    return reply({"status": "FAILED", "message": message, "jobId": JOB, "data": {"jobId": JOB, **NOTHING, **data}})


def finished(**changes: Any) -> Reply:
    return reply({**FINISHED, "data": {**FINISHED["data"], **changes}})


def submit_failure(answer: Reply) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        ADAPTER.read_submit(answer)
    return caught.value


def poll_failure(answer: Reply) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        ADAPTER.read_poll(answer)
    return caught.value


# --- Submitting -----------------------------------------------------------------------------------------------------


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


# --- Polling --------------------------------------------------------------------------------------------------------


def test_a_poll_asks_by_the_one_spelling_that_fetch_knows() -> None:
    call = ADAPTER.build_poll(JOB)
    assert (call.method, call.path, call.params, call.repeatable) == (
        "GET",
        "/midjourney/v1/fetch",
        {"jobId": JOB},
        True,
    )


def test_a_finished_job_gives_four_pictures_the_grid_and_the_charge() -> None:
    made = ADAPTER.read_poll(reply(FINISHED))
    assert isinstance(made, Made)
    assert made.picture_urls == [f"{CDN}/{corner}.png" for corner in ("tl", "tr", "bl", "br")]
    assert made.grid_url == f"{CDN}/grid.png"
    assert made.charged_usd == Decimal("0.02")
    assert made.detail["components"] == ["upsample1", "reroll"]


@pytest.mark.parametrize(("quota", "dollars"), [("2", "0.02"), (2, "0.02"), (1.5, "0.015"), ("40", "0.4"), ("0", "0")])
def test_quota_becomes_dollars(quota: object, dollars: str) -> None:
    made = ADAPTER.read_poll(finished(quota=quota))
    assert isinstance(made, Made)
    assert made.charged_usd == Decimal(dollars)


@pytest.mark.parametrize("quota", [None, "", "n/a", -1, True, {}, "1e30", 10**10, "1e999999999"])
def test_a_quota_that_says_nothing_is_unknown_and_not_zero(quota: object) -> None:
    made = ADAPTER.read_poll(finished(quota=quota))
    assert isinstance(made, Made)
    assert made.charged_usd is None


@pytest.mark.parametrize("images", [None, [], [None, ""], "none"])
def test_without_single_images_the_grid_is_what_there_is(images: object) -> None:
    made = ADAPTER.read_poll(finished(images=images))
    assert isinstance(made, Made)
    assert list(made.picture_urls) == []
    assert made.grid_url == f"{CDN}/grid.png"


def test_the_old_body_is_understood() -> None:
    data = {
        "actions": "imagine",
        "progress": "100%",
        "quota": 3,
        "cdnImage": None,
        "discordImage": "https://cdn.discordapp.com/grid.png",
    }
    made = ADAPTER.read_poll(reply({"status": "SUCCESS", "message": "success", "data": data}))
    assert isinstance(made, Made)
    assert made.grid_url == "https://cdn.discordapp.com/grid.png"
    assert made.charged_usd == Decimal("0.03")


@pytest.mark.parametrize("progress", [None, "0", "99", "31%"])
def test_success_is_decided_on_the_status_alone(progress: object) -> None:
    assert isinstance(ADAPTER.read_poll(finished(progress=progress)), Made)


def test_a_success_without_any_picture_says_nothing_yet() -> None:
    assert type(poll_failure(finished(images=None, cdnImage=None))) is ReplyUnreadable


@pytest.mark.parametrize("status", ["PENDING_QUEUE", "ON_QUEUE", "WHATEVER_COMES_NEXT"])
@pytest.mark.parametrize(
    ("progress", "percent"), [("0", 0), ("57", 57), (57, 57), ("57%", 57), (None, None), ("soon", None), (250, 100)]
)
def test_every_other_status_is_still_running(status: str, progress: object, percent: int | None) -> None:
    answer = reply({"status": status, "jobId": JOB, "data": {"progress": progress}})
    assert ADAPTER.read_poll(answer) == Running(percent=percent)


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("[Banned prompt detected] blood", ContentRefused),
        ("[Image denied]", ContentRefused),
        ("[TTAPI prompt filter] x", ContentRefused),
        ("[TTAPI image filter] x", ContentRefused),
        ("[Invalid parameter] --x", RequestRefused),
        ("[Invalid link!] not reachable", RequestRefused),
        ("[Invalid prompt] x", RequestRefused),
        ("Job Timeout", JobTimedOut),
        ("Failed to process your command", JobFailed),
        ("[Internal error]", JobFailed),
        ("[Internal server error]", JobFailed),
        ("[Bad response] Internal Error.", JobFailed),
        ("Execution error", JobFailed),
        ("Unknown Integration", JobFailed),
        ("Unknown Message", JobFailed),
        ("something new", JobFailed),
        (None, JobFailed),
    ],
)
def test_a_failed_job_is_classed_by_its_message(message: object, kind: type[ProviderError]) -> None:
    assert type(poll_failure(failed(message))) is kind


def test_a_failed_fetch_is_no_failed_job() -> None:
    assert type(poll_failure(reply({"status": "FAILED", "message": "try later", "data": None}))) is ReplyUnreadable
    assert type(poll_failure(reply({"status": "FAILED", "message": "Job Timeout", "data": None}))) is JobTimedOut


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, KeyRefused),
        (402, OutOfMoney),
        (403, KeyRefused),
        (429, RateLimited),
        (499, QueueFull),
        (500, ProviderDown),
        (503, ProviderDown),
    ],
)
def test_a_poll_that_was_refused_says_nothing_about_the_job(status: int, kind: type[ProviderError]) -> None:
    failure = poll_failure(reply(FINISHED, status))
    assert type(failure) is kind
    assert failure.retryable


@pytest.mark.parametrize(
    "answer", [reply({}, 404), reply({}, 400), reply(b"", 302), reply(b"<html>"), reply([]), reply({})]
)
def test_a_paid_job_is_not_given_up_for_an_answer_that_makes_no_sense(answer: Reply) -> None:
    assert type(poll_failure(answer)) is ReplyUnreadable


def test_a_long_message_is_shown_short_and_on_one_line() -> None:
    text = str(poll_failure(failed("[Internal error] " + "very\nlong " * 500)))
    assert "\n" not in text
    assert len(text) < 600


@pytest.mark.parametrize(
    ("message", "counts"),
    [
        ("[Banned prompt detected] x", True),
        ("[Invalid link!] x", True),
        ("[Invalid parameter]", True),
        ("[Image denied] x", True),
        ("[Internal error]", False),
        ("Job Timeout", False),
    ],
)
def test_what_ttapi_counts_as_illegal_is_marked(message: str, *, counts: bool) -> None:
    failure = poll_failure(failed(message))
    assert failure.illegal_prompt is counts


def test_a_prompt_refused_at_once_does_not_count_as_illegal() -> None:
    assert not submit_failure(reply({"message": "[Banned prompt detected] x"}, 400)).illegal_prompt
    assert submit_failure(reply({"status": "FAILED", "message": "[Banned prompt detected] x"})).illegal_prompt


def test_the_first_look_is_near_the_usual_end() -> None:
    looks = [ADAPTER.first_look_after({"mode": mode}, model="midjourney") for mode in ("turbo", "fast", "relax")]
    assert looks == sorted(looks)
    assert ADAPTER.first_look_after({}, model="midjourney") == looks[-1]


# --- The list and the account ---------------------------------------------------------------------------------------


def test_the_list_is_asked_for_in_full_pages_newest_first() -> None:
    call = ADAPTER.build_fetch_list(part="ON_QUEUE", page="2")
    assert (call.path, call.repeatable) == ("/midjourney/v1/fetch-list", True)
    assert call.params == {"status": "ON_QUEUE", "page": "2", "limit": "100", "order": "desc"}


def test_the_parts_of_the_list_follow_a_job_s_life() -> None:
    assert ADAPTER.list_parts == ("PENDING_QUEUE", "ON_QUEUE", "SUCCESS", "FAILED")


SENT = "a pig, 4k --v 7 --seed 123"


@pytest.mark.parametrize(
    ("listed", "same"),
    [
        (SENT, True),
        ("a pig, 4k --v 7 --seed 123 --fast", True),
        ("https://s.mj.run/abc a piglet --seed 123", True),
        ("a pig, 4k", True),
        ("a  pig, 4k --v 7", True),
        ("a pig, 4k --v 7 --seed 124", False),
        ("a cow", False),
        ("", False),
    ],
)
def test_a_listed_text_is_ours_by_its_seed_else_by_its_words(listed: str, *, same: bool) -> None:
    assert ADAPTER.resembles(SENT, listed) is same


def test_a_seed_of_ours_marks_its_attempt_and_no_other() -> None:
    text = ADAPTER.prompt_text(ask())
    assert ADAPTER.bears_mark_of("a-1", f"{text} --fast")
    assert not ADAPTER.bears_mark_of("a-2", text)
    assert not ADAPTER.bears_mark_of("a-1", ADAPTER.prompt_text(ask(settings={"seed": 7})))
    assert not ADAPTER.bears_mark_of("a-1", f"{text} --seed 8"), "two seeds are none"


@pytest.mark.parametrize("wrap", [lambda rows: rows, lambda rows: {"total": 2, "list": rows}])
def test_listed_jobs_keep_their_numbers(wrap: Any) -> None:
    rows = [
        {"job_id": JOB, "prompt": "a pig --seed 7", "status": 2, "created_at": "2026-11-21T10:00:00+00:00"},
        {"jobId": "other", "prompt": None, "status": 1, "created_at": "2026-11-21 10:00:00"},
    ]
    page = ADAPTER.read_fetch_list(reply({"status": "SUCCESS", "data": wrap(rows)}))
    assert page.jobs == [
        ListedJob(job_id=JOB, prompt="a pig --seed 7", created_at=1795255200.0, status="2"),
        ListedJob(job_id="other", prompt=None, created_at=None, created_before=1795298400.0, status="1"),
    ]
    assert page.next_page == "2"


def test_the_pages_of_the_list_are_counted_until_one_is_empty() -> None:
    rows = reply({"status": "SUCCESS", "data": [{"job_id": JOB, "prompt": "a pig"}]})
    assert ADAPTER.build_fetch_list(part="SUCCESS").params["page"] == "1"
    assert ADAPTER.read_fetch_list(rows, page="7").next_page == "8"


def test_an_empty_list_is_a_list() -> None:
    page = ADAPTER.read_fetch_list(reply({"status": "SUCCESS", "data": []}))
    assert (page.jobs, page.next_page) == ([], None)


@pytest.mark.parametrize(
    "body",
    [
        {"status": "SUCCESS", "data": None},
        {"status": "SUCCESS", "data": {}},
        {"status": "SUCCESS", "data": [{"prompt": "no id"}]},
        {"status": "SUCCESS", "data": [JOB]},
        {"status": "FAILED", "message": "later", "data": []},
    ],
)
def test_a_list_with_holes_proves_nothing(body: object) -> None:
    with pytest.raises(ReplyUnreadable):
        ADAPTER.read_fetch_list(reply(body))


def test_the_account_tells_its_money_and_its_queue() -> None:
    call = ADAPTER.build_info()
    assert (call.method, call.path, call.repeatable) == ("GET", "/midjourney/v1/info", True)
    info = ADAPTER.read_info(
        reply({"status": "SUCCESS", "data": {"balance": "1250", "freeze_balance": 4, "max_queue": 5}})
    )
    assert (info.balance_usd, info.held_usd, info.most_jobs) == (Decimal("12.5"), Decimal("0.04"), 5)
