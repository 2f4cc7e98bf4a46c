"""Words of services that are no more, in today's."""

from typing import Any

import pytest

from pipeline.requests.draft_requests import draft
from providers.catalogue import load
from providers.registry import service
from providers.setting_words import FORMER, chosen


def asked(provider: str = "replicate", *, negative: str | None = None, **settings: Any) -> Any:
    return chosen(load(), settings, negative_prompt=negative, provider=provider)


@pytest.mark.parametrize("word", sorted(FORMER))
def test_a_former_provider_is_a_living_model_of_another(word: str) -> None:
    found = asked(provider=word.upper())
    model = load().get(found.model)
    assert model.served_by(found.provider)
    assert model.retired_on is None
    assert "is no more" in found.translated[0]


@pytest.mark.parametrize(
    ("provider", "settings", "expected"),
    [
        ("replicate", {"quality": "hd", "size": "square"}, {"aspect_ratio": "1:1", "size": "2K"}),
        ("replicate", {"quality": "standard"}, {"size": "1K"}),
        ("replicate", {"quality": "hd", "size": "4K"}, {"size": "4K"}),
        ("openai", {"quality": "hd", "size": "16:9"}, {"aspect_ratio": "16:9", "quality": "high"}),
        ("openai", {"quality": "low", "size": "1024x1024"}, {"quality": "low", "size": "1024x1024"}),
        ("ttapi", {"quality": "hd"}, {}),
        ("replicate", {"seed": 7}, {"seed": 7}),
    ],
)
def test_qualities_and_shapes(provider: str, settings: dict[str, Any], expected: dict[str, Any]) -> None:
    assert asked(provider=provider, **settings).settings == expected


def test_a_negative_prompt_goes_where_it_is_taken() -> None:
    assert asked(provider="ttapi", negative="blur").settings == {"negative_prompt": "blur"}
    found = asked(provider="replicate", negative=" blur ")
    assert (found.settings, found.prompt_suffix) == ({}, " Avoid: blur.")
    assert len(found.translated) == 1


def test_nothing_is_said_where_nothing_was_translated() -> None:
    assert asked(provider="replicate", size="2K").translated == ()


LIVING = [model for model in load() if model.kind == "picture" and model.retired_on is None]
WORDS = [
    {"quality": "standard", "size": "square"},
    {"quality": "hd", "size": "portrait"},
    {"quality": "hd", "size": "landscape", "style": "vivid"},
    {"size": "16:9", "style": "natural"},
    {"size": "1024x1792"},
    {"size": "9:21", "quality": "standard"},
]


@pytest.mark.parametrize("words", WORDS, ids=str)
@pytest.mark.parametrize("model", LIVING, ids=lambda model: model.name)
def test_the_owners_words_can_be_said_to_every_living_model(model: Any, words: dict[str, Any]) -> None:
    found = asked(provider=model.provider, model=model.name, negative="blurry, distorted", **words)
    adapter = service(model.provider).adapter()
    references = 1 if model.references is not None and model.references.required else 0
    ask = draft(model.name, f"a red dress{found.prompt_suffix}", found.settings, references=references)
    adapter.build_submit(ask)
    assert len(found.translated) >= len(words) - ("quality" in words)
    said = " ".join(found.translated)
    assert repr(words["size"]) in said


@pytest.mark.parametrize(
    ("model", "size", "shape"),
    [
        ("google/imagen-4-ultra", "9:21", "9:16"),
        ("google/nano-banana-pro", "9:21", "9:16"),
        ("google/nano-banana-pro", "1024x1792", "9:16"),
        ("google/nano-banana-pro", "800x600", "4:3"),
    ],
)
def test_a_shape_that_a_model_has_not_is_its_nearest(model: str, size: str, shape: str) -> None:
    found = asked(model=model, size=size)
    assert found.settings["aspect_ratio"] == shape


def test_a_style_of_dall_e_is_words_or_midjourneys_flag() -> None:
    found = asked(provider="openai", style="vivid")
    assert (found.settings, found.prompt_suffix) == ({}, " Style: vivid, dramatic, hyper-real.")
    assert asked(provider="ttapi", style="natural").settings == {"style": "raw"}
