"""What Replicate says about jobs that it has: polls, lists, cancels, schemas; against bodies as its pages show them."""

import base64
from typing import Any

import pytest

from domain.errors import (
    ContentRefused,
    JobFailed,
    JobTimedOut,
    KeyRefused,
    NotAPicture,
    ProviderDown,
    ProviderError,
    RateLimited,
    ReplyUnreadable,
    RequestRefused,
)
from providers.catalogue import load
from providers.contract import Made, Reply, Running
from providers.listed import ListedJob
from providers.replicate.adapter import unknown_inputs
from providers.transport.fetch import PictureFetcher
from tests.support.replicate_bodies import ADAPTER, DELIVERY, JOB, NANO, REFERENCES, ask, prediction, reply, sent


def polled(body: object) -> Any:
    return ADAPTER.read_poll(reply(body))


def test_a_job_at_work_tells_its_progress_where_its_logs_do() -> None:
    assert polled(prediction("starting")) == Running()
    assert polled(prediction("processing", logs="  0%|     | 0/13 [00:00]\n 62%|###  | 8/13 [00:04]")) == Running(
        percent=62
    )
    assert polled(prediction("queued by somebody new")) == Running()


@pytest.mark.parametrize(
    ("output", "pictures"),
    [
        (DELIVERY, [DELIVERY]),
        ([DELIVERY, "data:image/png;base64,AAAA"], [DELIVERY, "data:image/png;base64,AAAA"]),
        ("data:image/webp;base64,AAAA", ["data:image/webp;base64,AAAA"]),
    ],
)
def test_pictures_come_alone_in_a_list_or_inside_the_reply(output: object, pictures: list[str]) -> None:
    made = polled(prediction("succeeded", output=output))
    assert isinstance(made, Made)
    assert list(made.picture_urls) == pictures
    assert (made.charged_usd, made.lost) == (None, None)
    assert made.detail["metrics"] == {"predict_time": 8.1, "total_time": 8.4}


def test_a_success_whose_output_was_deleted_is_paid_and_lost() -> None:
    made = polled(prediction("succeeded", data_removed=True, input={}))
    assert isinstance(made, Made)
    assert list(made.picture_urls) == []
    assert made.lost is not None
    assert "deleted" in made.lost


@pytest.mark.parametrize("output", [None, [], "", {}, [None]])
def test_a_success_without_output_may_have_one_yet(output: object) -> None:
    made = polled(prediction("succeeded", output=output))
    assert (list(made.picture_urls), made.lost) == ([], None)


def test_a_cancelled_prediction_is_paid_and_nobody_says_how_much() -> None:
    made = polled(prediction("canceled", started_at="2026-11-21T10:00:01Z"))
    assert (list(made.picture_urls), made.charged_usd) == ([], None)
    assert "does not say how much" in made.lost


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (
            "The input or output was flagged as sensitive. Please try again with different inputs. (E005) (x1)",
            ContentRefused,
        ),
        ("Content was flagged by the safety system. Try different prompts or inputs.", ContentRefused),
        ("An error occurred while processing your request (E001)", JobFailed),
        (None, JobFailed),
        ("404 models/imagen-4.0-ultra-generate-001 is not found for API version v1", RequestRefused),
    ],
)
def test_a_failed_prediction_is_told_by_its_error(error: str | None, kind: type[ProviderError]) -> None:
    with pytest.raises(ProviderError) as caught:
        polled(prediction("failed", error=error, model="google/imagen-4-ultra"))
    assert type(caught.value) is kind
    if kind is RequestRefused:
        assert "use 'google/nano-banana-pro'" in str(caught.value)
        assert not caught.value.retryable


def test_a_prediction_that_never_started_is_free_and_may_be_tried_again() -> None:
    with pytest.raises(JobTimedOut) as caught:
        polled(prediction("aborted"))
    assert caught.value.retryable


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, KeyRefused), (429, RateLimited), (500, ProviderDown), (404, ReplyUnreadable), (422, ReplyUnreadable)],
)
def test_a_call_that_says_nothing_about_a_job_ends_none(status: int, kind: type[ProviderError]) -> None:
    for read in (ADAPTER.read_poll, ADAPTER.read_fetch_list, ADAPTER.read_info, ADAPTER.read_cancel):
        with pytest.raises(kind):
            read(reply({"detail": "no", "status": status}, status))


@pytest.mark.parametrize("body", [{}, {"id": JOB}, [], "succeeded"])
def test_a_poll_without_a_status_says_nothing(body: object) -> None:
    with pytest.raises(ReplyUnreadable):
        polled(body)


def test_a_listed_prediction_is_compared_by_model_and_input() -> None:
    asked = ask(reference_urls=REFERENCES[:1], settings={"ar": "1:1"})
    echoed = dict(reversed(sent(reference_urls=REFERENCES[:1], settings={"ar": "1:1"}).items()))
    page = ADAPTER.read_fetch_list(
        reply({"next": None, "previous": None, "results": [prediction("processing", input=echoed)]})
    )
    assert page.jobs == [
        ListedJob(job_id=JOB, prompt=ADAPTER.prompt_text(asked), created_at=1795255200.123, status="processing")
    ]
    other = ADAPTER.read_fetch_list(
        reply({"next": None, "results": [prediction("processing", input=echoed, model="google/nano-banana-2.1")]})
    )
    assert other.jobs[0].prompt != ADAPTER.prompt_text(asked)


@pytest.mark.parametrize(
    ("listed", "same"),
    [
        ({"input": {"prompt": "a pig", "seed": 1}}, True),
        ({"input": {"prompt": " a\u00a0 pig "}}, True),
        ({"input": {"text": "a pig"}}, True),
        ({"input": {"prompt": "a pig"}, "model": None}, True),
        ({"input": {"prompt": "a cow"}}, False),
        ({"input": {"prompt": "a pig"}, "model": "google/nano-banana-2.1"}, False),
    ],
)
def test_a_listed_prediction_resembles_ours_by_model_and_prompt(listed: dict[str, Any], *, same: bool) -> None:
    page = ADAPTER.read_fetch_list(reply({"next": None, "results": [prediction("processing", **listed)]}))
    assert page.jobs[0].prompt is not None
    assert ADAPTER.resembles(ADAPTER.prompt_text(ask()), page.jobs[0].prompt) is same


@pytest.mark.parametrize("echoed", [3, 3.0])
def test_a_whole_number_is_compared_as_one(echoed: float) -> None:
    asked = ask("black-forest-labs/flux-2-flex", settings={"guidance": "3"})
    call = ADAPTER.build_submit(asked)
    assert call.json is not None
    listed = prediction("processing", model=asked.model, input=call.json["input"] | {"guidance": echoed})
    page = ADAPTER.read_fetch_list(reply({"next": None, "results": [listed]}))
    assert page.jobs[0].prompt == ADAPTER.prompt_text(asked)


@pytest.mark.parametrize(
    ("status", "billed"),
    [("succeeded", True), ("canceled", True), ("aborted", False), ("failed", None), ("processing", None)],
)
def test_the_list_tells_by_how_a_prediction_ended_whether_it_is_billed(status: str, *, billed: bool | None) -> None:
    page = ADAPTER.read_fetch_list(reply({"next": None, "results": [prediction(status)]}))
    assert page.jobs[0].billed is billed


@pytest.mark.parametrize("gone", [{"data_removed": True}, {"input": {}}, {"input": None}])
def test_a_prediction_whose_input_was_deleted_may_be_anybody_s(gone: dict[str, Any]) -> None:
    page = ADAPTER.read_fetch_list(reply({"next": None, "results": [prediction("succeeded") | gone]}))
    assert page.jobs[0].prompt is None


def test_the_list_is_turned_by_the_cursor_and_the_key_stays_at_home() -> None:
    first = ADAPTER.build_fetch_list(part="predictions")
    assert (first.path, first.params, first.repeatable) == ("/v1/predictions", {}, True)
    following = "https://elsewhere.example/v1/predictions?cursor=cD0yMDI2LTEx%3D%3D"
    page = ADAPTER.read_fetch_list(reply({"next": following, "results": []}))
    second = ADAPTER.build_fetch_list(part="predictions", page=page.next_page)
    assert (second.path, second.params) == ("/v1/predictions", {"cursor": "cD0yMDI2LTEx=="})
    with pytest.raises(ReplyUnreadable, match="its own next"):
        ADAPTER.read_fetch_list(reply({"next": following, "results": []}), page=page.next_page)


@pytest.mark.parametrize("body", [{}, {"results": None}, {"results": [{"status": "failed"}]}, {"results": ["x"]}])
def test_a_list_with_holes_proves_nothing(body: object) -> None:
    with pytest.raises(ReplyUnreadable):
        ADAPTER.read_fetch_list(reply(body))


def test_cancelling_twice_is_harmless() -> None:
    call = ADAPTER.build_cancel(JOB)
    assert (call.method, call.path, call.repeatable) == ("POST", f"/v1/predictions/{JOB}/cancel", True)
    ADAPTER.read_cancel(reply(prediction("canceled")))


def schema_reply(*names: str) -> Reply:
    properties = {name: {"type": "string"} for name in names}
    schemas = {"Input": {"type": "object", "required": ["prompt"], "properties": properties}}
    return reply({"latest_version": {"openapi_schema": {"components": {"schemas": schemas}}}})


def test_a_key_that_the_live_model_would_ignore_is_refused() -> None:
    assert ADAPTER.build_schema(NANO).path == "/v1/models/google/nano-banana-pro"
    asked = ask(reference_urls=REFERENCES)
    live = ADAPTER.read_schema(schema_reply("prompt", "images", "resolution", "allow_fallback_model"))
    assert unknown_inputs(live, sent(reference_urls=REFERENCES)) == ["image_input"]
    with pytest.raises(RequestRefused, match="has no input 'image_input' today"):
        ADAPTER.check_schema(live, asked)
    ADAPTER.check_schema({**live, "image_input": {}}, asked)


@pytest.mark.parametrize("body", [{}, {"latest_version": None}, {"latest_version": {"openapi_schema": {}}}])
def test_a_model_without_a_schema_is_not_judged(body: object) -> None:
    with pytest.raises(ReplyUnreadable):
        ADAPTER.read_schema(reply(body))


def test_a_model_that_the_service_no_longer_describes_is_gone() -> None:
    with pytest.raises(RequestRefused, match="google/nano-banana-pro"):
        ADAPTER.read_schema(reply({"detail": "Not found"}, 404, path="/v1/models/google/imagen-4-ultra"))


def test_the_first_look_stands_a_little_before_the_usual_end_of_the_model() -> None:
    for model in load().models(provider="replicate"):
        usual = model.expected({})
        assert usual / 2 < ADAPTER.first_look_after({}, model=model.name) < usual


PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)


def test_a_picture_inside_the_reply_is_taken_out_of_it() -> None:
    fetcher = PictureFetcher(own_host="replicate.delivery", most_bytes=64)
    try:
        assert fetcher.fetch(f"data:image/png;base64,{base64.b64encode(PNG).decode()}") == PNG
        for wrong in ("data:image/png,abc", "data:image/png;base64,@@", f"data:image/png;base64,{'A' * 400}"):
            with pytest.raises(NotAPicture):
                fetcher.fetch(wrong)
    finally:
        fetcher.close()
