"""What TTAPI says of jobs that it has: polls, lists, the account; against bodies as its pages show them."""

from decimal import Decimal
from typing import Any

import pytest

from domain.errors import (
    ContentRefused,
    JobFailed,
    JobTimedOut,
    KeyRefused,
    OutOfMoney,
    ProviderDown,
    ProviderError,
    QueueFull,
    RateLimited,
    ReplyUnreadable,
    RequestRefused,
)
from providers.contract import Made, Reply, Running
from providers.listed import ListedJob
from tests.support.ttapi_bodies import (
    ADAPTER,
    CDN,
    FINISHED,
    JOB,
    ask,
    failed,
    finished,
    poll_failure,
    reply,
    submit_failure,
)


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
