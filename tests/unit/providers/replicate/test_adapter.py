"""Replicate's wire, against bodies as its documentation and its production show them (PROVIDERS.md 2)."""

from typing import Any

import pytest

from domain.errors import (
    KeyRefused,
    MaybeSent,
    OutOfMoney,
    ProviderError,
    RateLimited,
    RequestRefused,
)
from providers.contract import Accepted
from tests.support.replicate_bodies import ADAPTER, JOB, NANO, REFERENCES, ask, prediction, refusal, reply, sent


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
