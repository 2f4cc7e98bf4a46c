"""OpenAI's picture models: what each is told, what its replies mean, and what they cost to the millionth."""

import base64
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest

from domain.errors import KeyRefused, LikenessError, MaybeSent, OutOfMoney, RateLimited, RequestRefused
from providers.catalogue import load
from providers.contract import Ask, Reply
from providers.openai.adapter import OpenAI
from providers.openai.body import size_of_shape
from providers.openai.replies import Usage, charge_of
from providers.openai.token_prices import pixels

ADAPTER = OpenAI()
PICTURE = b"\x89PNG\r\n\x1a\nand so on"
FLARE = "gpt-image-2.5-flare"


def ask(model: str = FLARE, *, references: tuple[str, ...] = (), **settings: object) -> Ask:
    return Ask(
        attempt_id="attempt",
        token="token",
        model=model,
        prompt="a pink pig",
        settings=settings,
        reference_urls=references,
    )


def body(model: str = FLARE, *, references: tuple[str, ...] = (), **settings: object) -> dict[str, Any]:
    sent = ADAPTER.build_submit(ask(model, references=references, **settings)).json
    assert sent is not None
    return dict(sent)


def charged(said: dict[str, Any], model: str) -> Decimal | None:
    return charge_of(Usage.model_validate(said), model)


def usage(*, text: int = 0, image: int = 0, out: int) -> dict[str, Any]:
    return {
        "input_tokens": text + image,
        "input_tokens_details": {"text_tokens": text, "image_tokens": image},
        "output_tokens": out,
        "output_tokens_details": {"text_tokens": 0, "image_tokens": out},
        "total_tokens": text + image + out,
    }


def answer(status: int = 200, headers: Mapping[str, str] | None = None, model: str = FLARE, **fields: object) -> Reply:
    return Reply(status=status, headers=headers or {}, content=json.dumps(fields).encode(), model=model)


def test_everything_that_has_a_price_is_said() -> None:
    sent = body()
    assert sent == {
        "model": FLARE,
        "prompt": "a pink pig",
        "n": 1,
        "size": "1024x1024",
        "quality": "auto",
        "user": sent["user"],
    }
    assert len(sent["user"]) == 32


@pytest.mark.parametrize("model", ["gpt-image-2", FLARE, "gpt-image-2.5-sunburst", "gpt-image-1.5", "gpt-image-1-mini"])
@pytest.mark.parametrize("field", ["response_format", "style", "input_fidelity"])
def test_fields_that_the_models_refuse_are_never_sent(model: str, field: str) -> None:
    assert field not in body(model)
    if field != "style":  # also a flag of Midjourney's, and as such left out
        with pytest.raises(RequestRefused, match=f"takes no {field}"):
            body(model, **{field: "url"})


def test_references_make_an_edit_in_json() -> None:
    references = tuple(f"https://r/{number}.png" for number in range(17))
    call = ADAPTER.build_submit(ask(references=references))
    assert call.path == "/v1/images/edits"
    assert call.json is not None
    assert call.json["images"] == [{"image_url": url} for url in references[:16]]
    assert ADAPTER.build_submit(ask()).path == "/v1/images/generations"


def test_a_reference_may_travel_inside_the_request() -> None:
    address = "data:image/png;base64,AAAA"
    assert body(references=(address,))["images"] == [{"image_url": address}]
    with pytest.raises(RequestRefused, match="a reference is"):
        body(references=("pictures/one.png",))


def test_quality_words_are_those_of_the_model() -> None:
    assert body(FLARE, quality="MAX")["quality"] == "max"
    with pytest.raises(RequestRefused, match="one of low, medium, high, auto"):
        body("gpt-image-2", quality="max")


@pytest.mark.parametrize(
    ("shape", "size"),
    [("1:1", "1024x1024"), ("3:2", "1536x1024"), ("2:3", "1024x1536"), ("16:9", "1280x720"), ("3:1", "1728x576")],
)
def test_a_shape_becomes_a_size(shape: str, size: str) -> None:
    assert body(ar=shape)["size"] == size


@pytest.mark.parametrize(
    "shape", ["1:1", "3:2", "16:9", "9:16", "4:5", "21:9", "7:5", "13:17", "3:1", "1:3", "999:998"]
)
def test_a_shape_is_true_within_two_percent_and_costs_no_more_than_the_square(shape: str) -> None:
    wide, high = map(int, shape.split(":"))
    width, height = pixels(size_of_shape(shape, load().get(FLARE)))
    assert width % 16 == height % 16 == 0
    assert abs(width * high / (height * wide) - 1) < 0.02
    assert (width, height) in {(1536, 1024), (1024, 1536)} or width * height <= 1024 * 1024


@pytest.mark.parametrize("size", ["1000x1000", "4096x1024", "3840x3840", "1600x512", "big", "0x0"])
def test_a_size_that_would_be_refused_is_refused_here(size: str) -> None:
    with pytest.raises(RequestRefused, match="size is"):
        body(size=size)


def test_the_retired_model_is_spoken_to_in_its_own_words() -> None:
    sent = body("dall-e-3", ar="1:1", style="Natural", quality="hd", format="png")
    assert sent.pop("user")
    assert sent == {
        "model": "dall-e-3",
        "prompt": "a pink pig",
        "n": 1,
        "size": "1024x1024",
        "quality": "hd",
        "style": "natural",
        "response_format": "b64_json",
    }
    assert ADAPTER.warnings(ask("dall-e-3", style="vivid")) == []
    assert body("dall-e-3", size="1792x1024")["size"] == "1792x1024"
    for settings, words in (
        ({"style": "raw"}, "vivid, natural"),
        ({"size": "1536x1024"}, "takes one of"),
        ({"background": "opaque"}, "takes no background"),
    ):
        with pytest.raises(RequestRefused, match=words):
            body("dall-e-3", **settings)


def test_an_unusual_size_is_for_the_models_that_take_it() -> None:
    assert body("gpt-image-2", size="2048x1152")["size"] == "2048x1152"
    with pytest.raises(RequestRefused, match="takes one of"):
        body("gpt-image-1.5", size="2048x1152")
    with pytest.raises(RequestRefused, match="1:1, 3:2 and 2:3"):
        body("gpt-image-1.5", ar="16:9")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"size": "1024x1024", "ar": "1:1"}, "take one of them out"),
        ({"ar": "1:1", "aspect_ratio": "3:2"}, "contradict"),
        ({"ar": "wide"}, "two whole numbers"),
        ({"n": 4}, "one picture"),
        ({"no": "hats"}, "no negative prompt"),
        ({"flavour": "sweet"}, "takes no flavour"),
        ({"background": "transparent", "format": "jpg"}, "a jpeg can't be"),
        ({"output_compression": 50}, "jpeg and webp"),
        ({"output_compression": 101, "format": "webp"}, "0 to 100"),
        ({"moderation": "off"}, "auto, low"),
    ],
)
def test_what_cannot_be_said_is_refused_before_anything_is_sent(settings: dict[str, object], words: str) -> None:
    with pytest.raises(RequestRefused, match=words):
        body(**settings)


def test_wishes_made_for_another_service_are_left_out_and_said() -> None:
    wished = {"mode": "fast", "cref_weight": 100, "stylize": 50}
    assert body(**wished) == body()
    assert ADAPTER.warnings(ask(**wished)) == [
        f"'{FLARE}' has no cref_weight, mode, stylize; what is said about it is left out"
    ]
    assert ADAPTER.warnings(ask(size="auto", references_wanted=None)) == []


def test_a_model_of_another_service_is_refused() -> None:
    for model in ("midjourney", "gpt-6-luna", "no such model"):
        with pytest.raises(RequestRefused):
            body(model)


@pytest.mark.parametrize(
    ("model", "tokens", "usd"),
    [
        # PROVIDERS.md 3.3: output tokens of a 1024x1024 and their price, at 30 USD per million.
        (FLARE, 196, "0.00588"),
        (FLARE, 439, "0.01317"),
        ("gpt-image-2.5-sunburst", 1756, "0.05268"),
        ("gpt-image-2.5-sunburst", 3122, "0.09366"),
        ("gpt-image-2", 7024, "0.21072"),
        ("gpt-image-1.5", 4160, "0.13312"),
        ("gpt-image-1-mini", 1056, "0.008448"),
    ],
)
def test_a_picture_is_charged_by_its_tokens(model: str, tokens: int, usd: str) -> None:
    assert charged(usage(out=tokens), model) == Decimal(usd)


@pytest.mark.parametrize(
    ("said", "usd"),
    [
        ({"cached_tokens_details": {"text_tokens": 1000, "image_tokens": 2000}}, "0.00125 0.008 0.004"),
        ({"cached_tokens_details": {"image_tokens": 9000}}, "0.005 0 0.006"),
        ({"cached_tokens": 1500}, "0.00125 0.02 0.001"),
        ({"cached_tokens": -5}, "0.005 0.024 0"),
    ],
)
def test_input_that_was_cached_costs_less(said: dict[str, Any], usd: str) -> None:
    counted = usage(text=1000, image=3000, out=196)
    counted["input_tokens_details"] |= said
    assert charged(counted, FLARE) == sum(map(Decimal, usd.split()), Decimal("0.00588"))
    assert charged({**counted, "input_tokens_details": said}, FLARE) is None


def test_words_and_references_are_charged_at_their_own_rates() -> None:
    found = charged(usage(text=1000, image=3000, out=196), FLARE)
    assert found == Decimal("0.005") + Decimal("0.024") + Decimal("0.00588")


@pytest.mark.parametrize("said", [{}, {"output_tokens": 5}, {**usage(out=5), "input_tokens_details": None}])
def test_a_charge_that_was_not_counted_is_unknown_and_not_zero(said: dict[str, Any]) -> None:
    assert charged(said, FLARE) is None
    assert charged(usage(out=5), "dall-e-3") is None


@pytest.mark.parametrize("tokens", [10**30, 10**14, "1e999999999", -5])
def test_an_absurd_count_is_not_said_and_loses_no_picture(tokens: int | str) -> None:
    assert charged(usage(out=196) | {"output_tokens": tokens}, FLARE) is None


def test_a_reply_is_the_result() -> None:
    row = {"b64_json": base64.b64encode(PICTURE).decode(), "revised_prompt": "a rosy pig"}
    reply = answer(headers={"x-request-id": "req_7"}, data=[row], size="1024x1024", usage=usage(out=196))
    delivered = ADAPTER.read_submit(reply)
    assert delivered.pictures == [PICTURE]
    assert delivered.charged_usd == Decimal("0.00588")
    assert delivered.request_id == "req_7"
    assert delivered.detail["revised_prompt"] == "a rosy pig"
    assert delivered.detail["usage"]["output_tokens"] == 196


@pytest.mark.parametrize(
    ("row", "files", "urls"),
    [
        ({"url": "https://o/1.png"}, [], ["https://o/1.png"]),
        ({"url": "https://o/1.png", "b64_json": None}, [], ["https://o/1.png"]),
        ({"url": f"data:image/png;base64,{base64.b64encode(PICTURE).decode()}"}, [PICTURE], []),
        ({"b64_json": f"data:image/png;base64,{base64.b64encode(PICTURE).decode()}"}, [PICTURE], []),
    ],
)
def test_a_gateway_may_answer_with_an_address_and_count_nothing(
    row: dict[str, Any], files: list[bytes], urls: list[str]
) -> None:
    delivered = ADAPTER.read_submit(answer(data=[row]))
    assert (delivered.pictures, delivered.picture_urls, delivered.charged_usd) == (files, urls, None)


@pytest.mark.parametrize(
    "data",
    [
        [],
        [{"b64_json": ""}],
        [{"b64_json": "no base64!"}],
        [{"url": "https://o/1.png"}, {}],
        "x",
        [{"b64_json": "AA=="}, {}],
    ],
)
def test_a_reply_without_its_picture_leaves_a_doubt(data: object) -> None:
    with pytest.raises(MaybeSent):
        ADAPTER.read_submit(answer(data=data))


def test_a_retired_model_names_its_successor() -> None:
    error = {"message": "The model 'gpt-image-1' does not exist", "code": "model_not_found"}
    with pytest.raises(RequestRefused, match=r"404 model_not_found: .* use 'gpt-image-2\.5-sunburst'"):
        ADAPTER.read_submit(answer(404, model="gpt-image-1", error=error))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "9"}, 9),
        ({"x-ratelimit-remaining-images": "0", "x-ratelimit-reset-images": "6m0s"}, 360),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1.5s"}, 1.5),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "120ms"}, 0.12),
        ({"x-ratelimit-remaining-tokens": "7", "x-ratelimit-reset-tokens": "1h"}, None),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "soon"}, None),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "999999h"}, 86_400),
        ({"retry-after-ms": "1e15"}, 86_400),
        ({"retry-after-ms": "-1", "retry-after": "9"}, 9),
        ({"retry-after-ms": "nan"}, None),
    ],
)
def test_a_limit_of_speed_says_how_long(headers: dict[str, str], seconds: float | None) -> None:
    with pytest.raises(RateLimited) as caught:
        ADAPTER.read_submit(answer(429, headers=headers, error={"code": "rate_limit_exceeded", "message": "slow"}))
    assert caught.value.retry_after_s == seconds


def test_a_model_that_the_key_may_not_use_is_refused_with_what_to_do() -> None:
    said = "Your organization must be verified to use the model `gpt-image-2`."
    todo = f"have '{FLARE}' allowed to the key's organization and project on OpenAI's page, or use another model"
    with pytest.raises(RequestRefused) as caught:
        ADAPTER.read_submit(answer(403, error={"code": None, "type": "invalid_request_error", "message": said}))
    assert str(caught.value) == f"[request_refused] 403 invalid_request_error: {said.rstrip('.')}; {todo}"


def test_a_key_that_may_not_read_about_a_model_may_still_make_pictures_with_it() -> None:
    with pytest.raises(KeyRefused):
        ADAPTER.read_end(answer(403, error={"code": None, "message": "Missing scopes: model.read"}))


def test_an_empty_wallet_is_no_limit_of_speed() -> None:
    said = "You have no credits remaining. Add credits in the billing settings."
    for reply in (
        answer(429, error={"code": None, "type": "insufficient_quota", "message": "quota"}),
        answer(429, error={"code": None, "type": None, "message": said}),
        Reply(status=429, headers={}, content=said.encode()),
        answer(400, error={"code": "billing_hard_limit_reached", "message": "cap"}),
    ):
        with pytest.raises(OutOfMoney):
            ADAPTER.read_submit(reply)


def test_the_deadline_can_be_set() -> None:
    patient = OpenAI()
    patient.submit_total_s = 90
    assert patient.build_submit(ask()).total_s == 90
    assert ADAPTER.build_submit(ask()).total_s == 600


def test_a_failure_is_written_on_one_line() -> None:
    reply = answer(400, error={"code": "moderation_blocked", "message": "no\nblood"})
    with pytest.raises(LikenessError) as caught:
        ADAPTER.read_submit(reply)
    assert str(caught.value) == "[content_refused] 400 moderation_blocked: no blood"
