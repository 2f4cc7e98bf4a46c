"""The official client of OpenAI, unmodified, against the sandbox: our idea of the wire is not only our own."""

import asyncio
import base64
import io
import json
import uuid
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import httpx2
import openai
import pytest
from PIL import Image

from providers.openai.replies import Usage, charge_of
from sandbox.process import running

FLARE = "gpt-image-2.5-flare"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("sandbox"), size_px=64, key="sk-only-this-one-is-good") as url:
        yield url


@pytest.fixture
def client(sandbox: str) -> Iterator[openai.OpenAI]:
    httpx2.delete(f"{sandbox}/_sandbox/faults", trust_env=False)
    # Twice is paid twice: the client's own retries are off, as they must be for pictures.
    with openai.OpenAI(
        base_url=f"{sandbox}/openai/v1", api_key="sk-only-this-one-is-good", max_retries=0, timeout=120
    ) as opened:
        yield opened
    httpx2.delete(f"{sandbox}/_sandbox/faults", trust_env=False)


@pytest.fixture
def prompt() -> str:
    """Nobody else's, so that tests can share one sandbox."""
    return f"a pink pig, number {uuid.uuid4()}"


def arm(sandbox: str, what: str) -> None:
    fault = {"where": "submit", "provider": "openai", "what": what, "count": 1}
    assert httpx2.post(f"{sandbox}/_sandbox/faults", json={"faults": [fault]}, trust_env=False).status_code == 200


def billed(sandbox: str, prompt: str) -> list[dict[str, Any]]:
    jobs = httpx2.get(f"{sandbox}/_sandbox/bill", trust_env=False).json()["jobs"]
    return [job for job in jobs if job["prompt"] == prompt]


def picture_in(reply: Any) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(reply.data[0].b64_json)))


@pytest.mark.parametrize(("output_format", "kind"), [("png", "PNG"), ("jpeg", "JPEG"), ("webp", "WEBP")])
def test_a_generation_brings_its_picture(
    client: openai.OpenAI, sandbox: str, prompt: str, output_format: Any, kind: str
) -> None:
    reply = client.images.generate(
        model=FLARE, prompt=prompt, quality="low", size="1536x1024", output_format=output_format
    )
    with picture_in(reply) as picture:
        assert picture.format == kind
        assert picture.width > picture.height
    assert (reply.size, reply.quality, reply.output_format) == ("1536x1024", "low", output_format)
    assert reply._request_id == billed(sandbox, prompt)[0]["job_id"]


def test_the_usage_says_what_the_bill_says(client: openai.OpenAI, sandbox: str, prompt: str) -> None:
    reply = client.images.generate(model="gpt-image-2", prompt=prompt, quality="low")
    assert reply.usage is not None
    (line,) = billed(sandbox, prompt)
    assert Decimal(line["charged_usd"]) == charge_of(Usage.model_validate(reply.usage.model_dump()), "gpt-image-2")
    assert reply.usage.output_tokens == 196


def test_an_edit_takes_files_in_a_form(client: openai.OpenAI, sandbox: str, prompt: str) -> None:
    file = io.BytesIO()
    Image.new("RGB", (64, 64), "pink").save(file, format="PNG")
    pictures = [(f"{name}.png", file.getvalue(), "image/png") for name in ("one", "two")]
    reply = client.images.edit(model=FLARE, prompt=prompt, image=pictures, quality="low")
    assert reply.usage is not None
    assert reply.usage.input_tokens_details.image_tokens == 2 * 1500
    with picture_in(reply) as picture:
        assert picture.format == "PNG"
    assert billed(sandbox, prompt)[0]["kind"] == "edit"


def test_several_pictures_come_in_one_reply_and_on_one_line_of_the_bill(
    client: openai.OpenAI, sandbox: str, prompt: str
) -> None:
    reply = client.images.with_raw_response.generate(model=FLARE, prompt=prompt, quality="low", n=2)
    assert int(reply.headers["openai-processing-ms"]) >= 0
    made = reply.parse()
    assert made.data is not None
    assert len({one.b64_json for one in made.data}) == 2
    (line,) = billed(sandbox, prompt)
    assert made.usage is not None
    assert Decimal(line["charged_usd"]) == charge_of(Usage.model_validate(made.usage.model_dump()), FLARE)


async def _asked(sandbox: str, prompt: str) -> str:
    key = "sk-only-this-one-is-good"
    async with openai.AsyncOpenAI(base_url=f"{sandbox}/openai/v1", api_key=key, max_retries=0) as client:
        reply = await client.images.generate(model=FLARE, prompt=prompt, quality="low")
    return str(reply._request_id)


def test_the_client_s_async_form_is_understood_as_well(sandbox: str, prompt: str) -> None:
    assert asyncio.run(_asked(sandbox, prompt)) == billed(sandbox, prompt)[0]["job_id"]


def test_models_say_until_when_they_are_to_be_had(client: openai.OpenAI) -> None:
    models = {model.id: model for model in client.models.list()}
    assert FLARE in models
    assert "dall-e-3" not in models
    assert getattr(models["gpt-image-2"], "shutdown_date", "missing") is None
    assert getattr(client.models.retrieve("gpt-4o-mini"), "shutdown_date", None) == "2027-01-14"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("dall-e-3")


@pytest.mark.parametrize(
    ("fields", "kind", "code"),
    [
        ({"model": "dall-e-3"}, openai.NotFoundError, "model_not_found"),
        ({}, openai.NotFoundError, "model_not_found"),
        ({"model": "gpt-image-2", "quality": "max"}, openai.BadRequestError, "invalid_value"),
        ({"model": FLARE, "size": "1000x1000"}, openai.BadRequestError, "invalid_value"),
        ({"model": FLARE, "style": "vivid"}, openai.BadRequestError, "unknown_parameter"),
        ({"model": FLARE, "response_format": "url"}, openai.BadRequestError, "unknown_parameter"),
        (
            {"model": FLARE, "extra_body": {"input_fidelity": "high"}},
            openai.BadRequestError,
            "invalid_input_fidelity_model",
        ),
        (
            {"model": FLARE, "background": "transparent", "output_format": "jpeg"},
            openai.BadRequestError,
            "invalid_value",
        ),
    ],
)
def test_what_cannot_be_made_is_refused_and_free(
    client: openai.OpenAI, sandbox: str, prompt: str, fields: Any, kind: type[openai.APIStatusError], code: str
) -> None:
    with pytest.raises(kind) as caught:
        client.images.generate(prompt=prompt, **fields)
    assert caught.value.code == code
    assert billed(sandbox, prompt) == []


@pytest.mark.parametrize(
    ("what", "kind", "code"),
    [
        ("throttled:plain", openai.RateLimitError, "rate_limit_exceeded"),
        ("throttled:quota", openai.RateLimitError, "insufficient_quota"),
        ("throttled:no_credits", openai.RateLimitError, None),
        ("throttled:hard_limit", openai.BadRequestError, "billing_hard_limit_reached"),
        (
            "refused:Your request was rejected. safety_violations=[violence].",
            openai.BadRequestError,
            "moderation_blocked",
        ),
        ("status:401", openai.AuthenticationError, "invalid_api_key"),
        ("status:403", openai.PermissionDeniedError, None),
        ("status:500", openai.InternalServerError, "server_error"),
    ],
)
def test_refusals_are_what_the_client_knows(
    client: openai.OpenAI, sandbox: str, prompt: str, what: str, kind: type[openai.APIStatusError], code: str | None
) -> None:
    arm(sandbox, what)
    with pytest.raises(kind) as caught:
        client.images.generate(model=FLARE, prompt=prompt, quality="low")
    assert caught.value.code == code
    assert billed(sandbox, prompt) == []


def test_a_limit_of_speed_says_how_long(client: openai.OpenAI, sandbox: str, prompt: str) -> None:
    arm(sandbox, "throttled:plain")
    with pytest.raises(openai.RateLimitError) as caught:
        client.images.generate(model=FLARE, prompt=prompt)
    assert caught.value.response.headers["retry-after-ms"] == "1000"
    assert caught.value.response.headers["x-ratelimit-remaining-images"] == "0"


@pytest.mark.parametrize(
    ("what", "jobs"), [("drop_before", 0), ("drop_after", 1), ("truncated", 1), ("status:500_after", 1)]
)
def test_a_lost_reply_is_on_the_bill_if_it_was_made(
    client: openai.OpenAI, sandbox: str, prompt: str, what: str, jobs: int
) -> None:
    arm(sandbox, what)
    with pytest.raises(openai.APIError):
        client.images.generate(model=FLARE, prompt=prompt, quality="low")
    lines = billed(sandbox, prompt)
    assert len(lines) == jobs
    assert all(Decimal(line["charged_usd"]) > 0 for line in lines)


def test_a_picture_refused_after_it_was_made_costs_nothing(client: openai.OpenAI, sandbox: str, prompt: str) -> None:
    arm(sandbox, "failed_body:Your request was rejected. safety_violations=[sexual].")
    with pytest.raises(openai.BadRequestError) as caught:
        client.images.generate(model=FLARE, prompt=prompt, quality="low")
    assert caught.value.code == "moderation_blocked"
    assert [line["charged_usd"] for line in billed(sandbox, prompt)] == ["0.00"]


def test_words_are_moderated_and_a_wrong_key_is_refused(client: openai.OpenAI, sandbox: str, prompt: str) -> None:
    with pytest.raises(openai.BadRequestError, match=r"safety_violations=\[violence\]"):
        client.images.generate(model=FLARE, prompt=f"{prompt} in a massacre")
    with pytest.raises(openai.AuthenticationError, match=r"Incorrect API key provided: sk-\*\*\*ever"):
        client.with_options(api_key="sk-what-so-ever").images.generate(model=FLARE, prompt=prompt)
    assert billed(sandbox, prompt) == []


def test_a_reference_that_is_no_picture_is_refused_and_free(sandbox: str, client: openai.OpenAI, prompt: str) -> None:
    fake = "data:image/png;base64," + base64.b64encode(b"no picture").decode()
    for images in ([{"image_url": fake}], [{"image_url": "data:image/png;base64,!"}], [{"file_id": "x"}], []):
        with pytest.raises(openai.BadRequestError):
            client.post("/images/edits", cast_to=object, body={"model": FLARE, "prompt": prompt, "images": images})
    assert {line["charged_usd"] for line in billed(sandbox, prompt)} <= {"0.00"}


SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "prompt": {"type": "string"},
        "mood": {"type": "string", "enum": ["calm", "wild"]},
        "scores": {"type": "array", "items": {"type": "number"}},
    },
    "required": ["prompt", "mood", "scores"],
    "additionalProperties": False,
}


def test_words_are_answered_in_the_schema_that_was_asked_for(client: openai.OpenAI, sandbox: str, prompt: str) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}}
    reply = client.chat.completions.create(
        model="gpt-6-luna",
        messages=[{"role": "user", "content": [{"type": "text", "text": prompt}, picture]}],  # type: ignore[list-item] -- a literal
        response_format={"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": SCHEMA}},
        reasoning_effort="none",
    )
    found = json.loads(reply.choices[0].message.content or "")
    assert found == {"prompt": prompt, "mood": "calm", "scores": [0]}
    response = client.responses.create(
        model="gpt-6-luna",
        input=prompt,
        text={"format": {"type": "json_schema", "name": "x", "strict": True, "schema": SCHEMA}},
    )
    assert json.loads(response.output_text) == found
    assert sorted(line["kind"] for line in billed(sandbox, prompt)) == ["chat", "response"]


def test_words_are_refused_and_schemas_are_strict(client: openai.OpenAI, prompt: str) -> None:
    asked: Any = [{"role": "user", "content": f"{prompt}, gore"}]
    message = client.chat.completions.create(model="gpt-6-luna", messages=asked).choices[0].message
    assert message.content is None
    assert message.refusal
    loose = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA | {"required": []}}}
    with pytest.raises(openai.BadRequestError, match="additionalProperties"):
        client.chat.completions.create(model="gpt-6-luna", messages=asked, response_format=loose)  # type: ignore[call-overload] -- refused
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="gpt-image-2", messages=asked)


def test_an_empty_wallet_is_said_before_anything_is_made(tmp_path: Any) -> None:
    with (
        running(tmp_path / "poor", size_px=64, wallet="0.01") as url,
        openai.OpenAI(base_url=f"{url}/openai/v1", api_key="sk-poor", max_retries=0) as client,
    ):
        with pytest.raises(openai.RateLimitError) as caught:
            client.images.generate(model=FLARE, prompt="dear", quality="max")
        assert caught.value.code == "insufficient_quota"
        assert billed(url, "dear") == []
