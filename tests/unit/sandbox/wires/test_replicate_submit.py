"""What the stand-in's Replicate takes, refuses, ignores and charges."""

import io
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sandbox.picture_size import started_megapixels
from sandbox.settings import Settings
from sandbox.wires.replicate.models import MODELS
from sandbox.wires.replicate.submit import NotAccepted, Wanted, job_from, read_life_s, read_wait_s, wanted

NANO = "google/nano-banana-pro"
SETTINGS = Settings(data=Path())


def asked(model: str = NANO, *, retired: str = "failed", headers: dict[str, str] | None = None, **given: Any) -> Wanted:
    return wanted(model, {"input": {"prompt": "a pig"} | given}, headers or {}, retired=retired)


def refusal(fields: dict[str, Any], model: str = NANO) -> dict[str, Any]:
    with pytest.raises(NotAccepted) as caught:
        wanted(model, fields, {}, retired="failed")
    return dict(caught.value.body)


@pytest.mark.parametrize(
    ("fields", "kind", "field"),
    [
        ({}, "required", "(root)"),
        ({"input": {}}, "required", "input"),
        ({"input": {"prompt": "x"}, "model": NANO}, "additional_property_not_allowed", "(root)"),
        ({"input": {"prompt": "x", "resolution": "8K"}}, "enum", "input.resolution"),
        ({"input": {"prompt": 7}}, "invalid_type", "input.prompt"),
        ({"input": {"prompt": "x", "allow_fallback_model": 1}}, "invalid_type", "input.allow_fallback_model"),
        ({"input": {"prompt": "x", "image_input": ["https://r"] * 15}}, "array_max_items", "input.image_input"),
        ({"input": {"prompt": "x"}, "webhook": "http://hooks.example"}, "format", "webhook"),
        ({"input": {"prompt": "x"}, "webhook_events_filter": ["all"]}, "enum", "webhook_events_filter"),
    ],
)
def test_a_wrong_create_is_refused_field_by_field(fields: dict[str, Any], kind: str, field: str) -> None:
    body = refusal(fields)
    assert (body["status"], body["title"]) == (422, "Input validation failed")
    assert (body["invalid_fields"][0]["type"], body["invalid_fields"][0]["field"]) == (kind, field)
    assert str(body["detail"]).startswith(f"- {field}: ")


def test_a_number_beyond_its_bound_is_refused_too() -> None:
    flux = "black-forest-labs/flux-2-flex"
    assert refusal({"input": {"prompt": "x", "steps": 51}}, flux)["invalid_fields"][0]["type"] == "number_lte"
    assert refusal({"input": {"prompt": "x", "steps": 0}}, flux)["invalid_fields"][0]["type"] == "number_gte"


def test_an_unknown_input_is_kept_and_means_nothing() -> None:
    job = job_from(asked(image="https://r/1.png"), settings=SETTINGS, fault=None, key_digest="k", now_s=0)
    assert job.plan["input"] == {"prompt": "a pig", "image": "https://r/1.png"}
    assert job.plan["references"] == []


@pytest.mark.parametrize(
    ("model", "given", "usd"),
    [
        (NANO, {}, "0.15"),
        (NANO, {"resolution": "4K"}, "0.30"),
        ("openai/gpt-image-2", {"quality": "medium", "number_of_images": 3}, "0.141"),
        ("openai/gpt-image-2", {}, "0.128"),
        ("black-forest-labs/flux-2-max", {"resolution": "4 MP", "input_images": ["https://r/1"] * 2}, "0.16"),
        ("black-forest-labs/flux-2-pro", {"resolution": "0.5 MP"}, "0.03"),
        ("runwayml/gen4-image", {"resolution": "720p"}, "0.05"),
    ],
)
def test_each_prediction_has_its_price(model: str, given: dict[str, Any], usd: str) -> None:
    assert MODELS[model].price({"prompt": "x", **given}) == Decimal(usd)


def test_references_are_billed_when_they_were_measured() -> None:
    flux = asked("black-forest-labs/flux-2-max", resolution="4 MP", input_images=["https://r/1"] * 2)
    job = job_from(flux, settings=SETTINGS, fault=None, key_digest="k", now_s=0)
    assert (job.price_micros, job.plan["billed"]) == (160_000, {"base": 160_000, "reference_mp": 30_000})


@pytest.mark.parametrize(
    ("size", "megapixels"), [((1, 1), 1), ((1000, 1000), 1), ((1024, 1024), 2), ((3000, 2000), 6), ((3000, 2001), 7)]
)
def test_a_megapixel_that_is_begun_is_billed(size: tuple[int, int], megapixels: int) -> None:
    content = io.BytesIO()
    Image.new("L", size).save(content, "PNG")
    assert started_megapixels(content.getvalue()) == megapixels
    assert started_megapixels(content.getvalue()[:40]) == started_megapixels(b"no picture") == 0


def test_a_retired_model_is_not_there_or_fails() -> None:
    assert "404 NOT_FOUND" in asked("google/imagen-4-ultra").message
    with pytest.raises(NotAccepted) as caught:
        asked("google/imagen-4-ultra", retired="404")
    assert caught.value.status == 404


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("5m", 300), ("1h30m45s", 5445), ("30", 30), ("5s", 5), (None, None), ("", None)]
)
def test_a_life_time_is_read_in_all_its_forms(text: str | None, seconds: float | None) -> None:
    assert read_life_s(text) == seconds


@pytest.mark.parametrize("text", ["4s", "0", "-5", "soon", "5x"])
def test_a_life_time_below_five_seconds_is_refused(text: str) -> None:
    with pytest.raises(NotAccepted):
        read_life_s(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("wait", 60), ("wait=1", 1), ("wait=60", 60), ("wait=61", 0), ("wait=0", 0), ("", 0), ("x", 0)],
)
def test_a_wish_to_wait_is_read_as_the_specification_has_it(text: str, seconds: float) -> None:
    assert read_wait_s(text) == seconds


def test_more_references_come_closer_and_a_seed_is_used_where_there_is_one() -> None:
    one, two = (
        job_from(asked(image_input=["https://r/1"] * n), settings=SETTINGS, fault=None, key_digest="k", now_s=0)
        for n in (1, 2)
    )
    assert one.plan["weight"] < two.plan["weight"] <= 0.97
    seeded = asked("black-forest-labs/flux-2-pro", seed=7, aspect_ratio="3:2")
    job = job_from(seeded, settings=SETTINGS, fault=None, key_digest="k", now_s=0)
    assert job.plan["seed"] == 7
    assert job.plan["size"][0] > job.plan["size"][1]
