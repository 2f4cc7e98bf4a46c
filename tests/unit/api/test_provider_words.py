"""Words of services that are no more, in today's."""

from typing import Any

import pytest

from api.provider_words import FORMER, chosen
from providers.catalogue import load


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
