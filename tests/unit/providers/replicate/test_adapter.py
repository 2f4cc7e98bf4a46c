"""Replicate's wire, against bodies as its documentation and its production show them (PROVIDERS.md 2)."""

import base64
import json
from typing import Any

import pytest

from domain.errors import (
    ContentRefused,
    JobFailed,
    JobTimedOut,
    KeyRefused,
    MaybeSent,
    NotAPicture,
    OutOfMoney,
    ProviderDown,
    ProviderError,
    RateLimited,
    ReplyUnreadable,
    RequestRefused,
)
from providers.catalogue import load
from providers.contract import Accepted, Ask, Made, Reply, Running
from providers.listed import ListedJob
from providers.replicate.adapter import Replicate, unknown_inputs
from providers.transport.fetch import PictureFetcher

ADAPTER = Replicate()
JOB = "gm3qorzdhgbfurvjtvhg6dckhu"
DELIVERY = "https://replicate.delivery/xezq/out-0.png"
NANO = "google/nano-banana-pro"


def ask(model: str = NANO, **changes: Any) -> Ask:
    return Ask(**{"attempt_id": "a-1", "token": "t-1", "model": model, "prompt": "a pig", **changes})


def reply(body: object, status: int = 200, path: str = "", **headers: str) -> Reply:
    return Reply(status=status, headers=headers, content=json.dumps(body).encode(), path=path)


def prediction(status: str, **more: Any) -> dict[str, Any]:
    address = f"https://api.replicate.com/v1/predictions/{JOB}"
    return {
        "id": JOB,
        "model": NANO,
        "version": "hidden",
        "input": {"prompt": "a pig"},
        "output": None,
        "data_removed": False,
        "error": None,
        "source": "api",
        "status": status,
        "created_at": "2026-11-21T10:00:00.123Z",
        "urls": {"web": f"https://replicate.com/p/{JOB}", "get": address, "cancel": f"{address}/cancel"},
        "metrics": {"predict_time": 8.1, "total_time": 8.4},
    } | more


def sent(*arguments: Any, **changes: Any) -> dict[str, Any]:
    body = ADAPTER.build_submit(ask(*arguments, **changes)).json
    assert body is not None
    return dict(body["input"])


def refusal(body: object, status: int, **more: Any) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        ADAPTER.read_submit(reply(body, status, **more))
    return caught.value


# --- What is sent ---------------------------------------------------------------------------------------------------


def test_a_create_names_the_model_in_its_path_and_asks_for_no_waiting() -> None:
    call = ADAPTER.build_submit(ask())
    assert (call.method, call.path) == ("POST", "/v1/models/google/nano-banana-pro/predictions")
    assert call.headers == {"Cancel-After": "900s"}
    assert call.json == {"input": {"prompt": "a pig", "resolution": "2K", "allow_fallback_model": False}}


def test_a_life_time_is_ours_to_choose_within_replicate_s_limits() -> None:
    assert ADAPTER.build_submit(ask(settings={"timeout": "90"})).headers == {"Cancel-After": "90s"}
    for wrong in ("4", 3601, True, "soon"):
        with pytest.raises(RequestRefused, match="timeout is"):
            ADAPTER.build_submit(ask(settings={"timeout": wrong}))


def test_only_an_https_address_is_called_back() -> None:
    call = ADAPTER.build_submit(ask(hook_url="https://likeness.example/hooks/replicate/t"))
    assert call.json is not None
    assert call.json["webhook"] == "https://likeness.example/hooks/replicate/t"
    assert call.json["webhook_events_filter"] == ["completed"]
    without = ADAPTER.build_submit(ask(hook_url="http://likeness.example/hooks"))
    assert without.json is not None
    assert set(without.json) == {"input"}


REFERENCES = ["https://r/1.png", "https://r/2.png", "https://r/3.png", "https://r/4.png"]


@pytest.mark.parametrize(
    ("model", "key", "value"),
    [
        (NANO, "image_input", REFERENCES),
        ("google/nano-banana-2.1", "image_input", REFERENCES),
        ("black-forest-labs/flux-2-pro", "input_images", REFERENCES),
        ("black-forest-labs/flux-kontext-max", "input_image", REFERENCES[0]),
        ("bytedance/seedream-4.5", "image_input", REFERENCES),
        ("ideogram-ai/ideogram-character", "character_reference_image", REFERENCES[0]),
        ("runwayml/gen4-image", "reference_images", REFERENCES[:3]),
        ("openai/gpt-image-2", "input_images", REFERENCES),
    ],
)
def test_each_model_takes_references_in_its_own_way(model: str, key: str, value: object) -> None:
    assert sent(model, reference_urls=REFERENCES)[key] == value


@pytest.mark.parametrize(
    ("model", "settings", "expected"),
    [
        (NANO, {"ar": "3:2", "resolution": "4k"}, {"aspect_ratio": "3:2", "resolution": "4K"}),
        (NANO, {"format": "PNG", "mode": "relax"}, {"output_format": "png", "resolution": "2K"}),
        ("black-forest-labs/flux-2-flex", {"size": "4MP", "steps": 30}, {"resolution": "4 MP", "steps": 30}),
        ("black-forest-labs/flux-2-flex", {"guidance": "4.5"}, {"guidance": 4.5, "resolution": "1 MP"}),
        ("black-forest-labs/flux-kontext-pro", {"seed": 7, "prompt_upsampling": "no"}, {"prompt_upsampling": False}),
        ("openai/gpt-image-2", {"n": 3, "quality": "LOW"}, {"number_of_images": 3, "quality": "low"}),
        ("openai/gpt-image-2", {}, {"quality": "auto"}),
        ("bytedance/seedream-4.5", {"size": "2K"}, {"size": "2K", "sequential_image_generation": "disabled"}),
    ],
)
def test_settings_are_said_in_the_words_of_the_model(model: str, settings: dict[str, Any], expected: Any) -> None:
    made = sent(model, settings=settings)
    assert expected.items() <= made.items()
    assert "mode" not in made


@pytest.mark.parametrize(
    ("model", "size", "expected", "words"),
    [
        ("black-forest-labs/flux-2-pro", "1024x1024", {"aspect_ratio": "1:1", "resolution": "1 MP"}, "1:1 and 1 MP"),
        ("black-forest-labs/flux-2-pro", "1792 X 1024", {"aspect_ratio": "16:9", "resolution": "2 MP"}, "16:9 and 2"),
        ("google/imagen-4", "1792x1024", {"aspect_ratio": "16:9"}, "16:9"),
    ],
)
def test_a_size_in_pixels_is_said_in_the_words_of_the_model(
    model: str, size: str, expected: dict[str, str], words: str
) -> None:
    said = sent(model, settings={"size": size})
    assert {name: said.get(name) for name in ("aspect_ratio", "resolution", "size") if name in said} == expected
    assert any(words in one for one in ADAPTER.warnings(ask(model, settings={"size": size})))


def test_a_size_in_pixels_that_no_ratio_of_the_model_comes_near_is_refused() -> None:
    for settings in ({"size": "1000x300"}, {"size": "1024x1024", "aspect_ratio": "16:9"}):
        with pytest.raises(RequestRefused):
            sent("black-forest-labs/flux-2-pro", settings=settings)


def test_a_seed_is_the_person_s_or_stands_for_the_attempt() -> None:
    model = "black-forest-labs/flux-2-pro"
    assert sent(model, settings={"seed": "7"})["seed"] == 7
    derived = [sent(model, attempt_id=attempt)["seed"] for attempt in ("a-1", "a-1", "a-2")]
    assert derived[0] == derived[1] != derived[2]
    assert all(0 <= seed < 2**31 for seed in derived)
    assert "seed" not in sent(NANO, settings={"seed": 7})


@pytest.mark.parametrize(
    ("model", "changes", "why"),
    [
        (NANO, {"settings": {"negative_prompt": "mud"}}, "takes no negative prompt"),
        (NANO, {"settings": {"no": "mud"}}, "takes no negative prompt"),
        (NANO, {"settings": {"ar": "7:5"}}, "aspect_ratio is '7:5'"),
        (NANO, {"settings": {"ar": "3:2", "aspect_ratio": "1:1"}}, "take one of them out"),
        (NANO, {"settings": {"size": "8K"}}, "takes one of 1K, 2K, 4K"),
        (NANO, {"settings": {"n": 2}}, "one picture a call"),
        (NANO, {"reference_urls": ["file:///etc/passwd"]}, "must be an address"),
        ("openai/gpt-image-2", {"settings": {"n": 0}}, "n is 0"),
        ("google/imagen-4-ultra", {"reference_urls": REFERENCES}, "takes no references"),
        ("ideogram-ai/ideogram-character", {}, "makes nothing without a reference"),
        ("black-forest-labs/flux-2-pro", {"settings": {"seed": 2**31}}, "seed is 2147483648"),
        ("black-forest-labs/flux-kontext-pro", {"settings": {"output_format": "webp"}}, "takes one of jpg, png"),
        ("midjourney", {}, "served by 'ttapi'"),
        ("google/nano", {}, "no model 'google/nano'"),
    ],
)
def test_what_would_be_lost_or_refused_is_refused_before_anything_is_sent(
    model: str, changes: dict[str, Any], why: str
) -> None:
    with pytest.raises(RequestRefused, match=why):
        ADAPTER.build_submit(ask(model, **changes))


def test_addresses_that_a_person_names_win_over_the_character_s() -> None:
    named = {"cref_urls": "https://mine/1.png https://mine/2.png"}
    assert sent(settings=named, reference_urls=REFERENCES)["image_input"] == [
        "https://mine/1.png",
        "https://mine/2.png",
    ]
    assert "image_input" not in sent(settings={"references": False}, reference_urls=REFERENCES)


def test_wishes_for_another_service_are_left_out_with_a_warning() -> None:
    asked = ask(settings={"mode": "relax", "cref_weight": 80, "seed": 7, "raw": False, "max_image_cost": "1"})
    (warning,) = ADAPTER.warnings(asked)
    assert "'google/nano-banana-pro' has no cref_weight, mode, seed;" in warning
    assert ADAPTER.warnings(ask(settings={"ar": "1:1", "timeout": 60})) == []


def test_a_model_nobody_has_read_the_schema_of_is_told_its_prompt_alone() -> None:
    assert sent("recraft-ai/recraft-v4", settings={"ar": "1:1"}) == {"prompt": "a pig"}


# --- What a create says ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 201, 202])
@pytest.mark.parametrize("state", ["starting", "processing", "succeeded", "failed"])
def test_a_prediction_s_id_is_an_acceptance_whatever_its_state(status: int, state: str) -> None:
    assert ADAPTER.read_submit(reply(prediction(state), status)) == Accepted(job_id=JOB)


UNAUTHENTICATED = {"title": "Unauthenticated", "detail": "You did not pass a valid authentication token", "status": 401}
NO_CREDIT = {
    "title": "Insufficient credit",
    "detail": "You have insufficient credit to run this model. Go to https://replicate.com/account/billing#billing",
    "status": 402,
}
INVALID = {
    "title": "Input validation failed",
    "detail": "- input: prompt is required\n",
    "status": 422,
    "invalid_fields": [{"type": "required", "field": "input", "description": "prompt is required"}],
}
NOT_PERMITTED = {"title": "Invalid version or not permitted", "detail": "The specified version does not exist"}


@pytest.mark.parametrize(
    ("body", "status", "kind", "said"),
    [
        (UNAUTHENTICATED, 401, KeyRefused, "You did not pass a valid authentication token"),
        (NO_CREDIT, 402, OutOfMoney, "insufficient credit"),
        (INVALID, 422, RequestRefused, "422: Input validation failed: input: prompt is required"),
        (NOT_PERMITTED, 422, RequestRefused, "Invalid version or not permitted"),
        ({"detail": "bad"}, 400, RequestRefused, "[request_refused] 400: bad"),
        (
            {"detail": "You may not run this model"},
            403,
            RequestRefused,
            "[request_refused] 403: You may not run this model; ask for access to the model on Replicate's page",
        ),
    ],
)
def test_a_refusal_keeps_the_service_s_words(body: object, status: int, kind: type[ProviderError], said: str) -> None:
    failure = refusal(body, status)
    assert type(failure) is kind
    assert said in str(failure)


LOW_CREDIT = (
    "Request was throttled. Your rate limit for creating predictions is reduced to 6 requests per minute with a burst"
    " of 1 requests while you have less than $5.0 in credit. Your rate limit resets in ~5s."
)


@pytest.mark.parametrize(
    ("body", "headers", "seconds"),
    [
        ({"detail": LOW_CREDIT, "status": 429, "retry_after": 5}, {"retry-after": "6"}, 6),
        ({"detail": LOW_CREDIT, "status": 429, "retry_after": 5}, {}, 5),
        ({"detail": LOW_CREDIT, "status": 429}, {}, 5),
        ({"detail": "Request was throttled. Your rate limit resets in ~30s."}, {}, 30),
        ({"detail": "Request was throttled. Expected available in 1 second."}, {}, 1),
        ({"detail": "Your rate limit is reduced until you add a payment method."}, {}, None),
        ({"detail": LOW_CREDIT, "status": 429, "retry_after": 1e15}, {}, 86_400),
        ({"detail": LOW_CREDIT, "status": 429, "retry_after": -1}, {}, 5),
        ({"detail": f"Your rate limit resets in ~{'9' * 400}s."}, {}, None),
        ("<html>", {}, None),
    ],
)
def test_every_way_to_ask_for_a_pause_is_understood(
    body: object, headers: dict[str, str], seconds: float | None
) -> None:
    failure = refusal(body, 429, **headers)
    assert isinstance(failure, RateLimited)
    assert failure.retry_after_s == seconds


def test_a_model_that_is_gone_is_refused_with_its_successor() -> None:
    gone = refusal({"detail": "Not found"}, 404, path="/v1/models/google/imagen-4-ultra/predictions")
    assert isinstance(gone, RequestRefused)
    assert "google/nano-banana-pro" in str(gone)
    assert "2026-08-17" in str(gone)
    assert "is not there" in str(refusal({"detail": "Not found"}, 404, path=f"/v1/models/{NANO}/predictions"))
    assert "no model 'a/b'" in str(refusal({}, 404, path="/v1/models/a/b/predictions"))


@pytest.mark.parametrize("status", [200, 201, 202, 204, 302, 408, 409, 413, 500, 502, 503])
def test_anything_else_leaves_a_doubt(status: int) -> None:
    assert isinstance(refusal({"detail": "?"}, status), MaybeSent)


# --- What a poll says -----------------------------------------------------------------------------------------------


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


# --- The list, the account, cancelling, the schema ------------------------------------------------------------------


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


# --- Pictures inside a reply ----------------------------------------------------------------------------------------

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
