"""The catalogue's facts, and that a mistake in them is found when they are read."""

from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from domain.errors import ModelRetired, UnknownThing
from providers import catalogue
from providers.catalogue import Catalogue, load
from providers.registry import SERVICES

TODAY = date(2026, 11, 21)
#: Every model that the owner's documents or the design name.
NAMED = {
    "midjourney": "ttapi",
    "google/imagen-4-ultra": "replicate",
    "google/imagen-4": "replicate",
    "google/imagen-4-fast": "replicate",
    "google/nano-banana-pro": "replicate",
    "google/nano-banana-2.1": "replicate",
    "google/nano-banana-2": "replicate",
    "google/nano-banana": "replicate",
    "black-forest-labs/flux-2-pro": "replicate",
    "black-forest-labs/flux-2-max": "replicate",
    "black-forest-labs/flux-2-flex": "replicate",
    "black-forest-labs/flux-kontext-pro": "replicate",
    "black-forest-labs/flux-kontext-max": "replicate",
    "bytedance/seedream-4.5": "replicate",
    "ideogram-ai/ideogram-character": "replicate",
    "runwayml/gen4-image": "replicate",
    "openai/gpt-image-2": "replicate",
    "gpt-image-2": "openai",
    "gpt-image-2.5-flare": "openai",
    "gpt-image-2.5-sunburst": "openai",
    "gpt-image-1.5": "openai",
    "gpt-image-1-mini": "openai",
    "gpt-image-1": "openai",
    "dall-e-3": "openai",
    "dall-e-2": "openai",
}
ROW = '[[model]]\nname = "x"\ntitle = "X"\nprovider = "p"\nexpected_s = { usual = 1 }\nsource = "s"\n'


def read(*rows: str, defaults: str = "[defaults]\n") -> Catalogue:
    return catalogue.read(defaults + "".join(rows))


@pytest.mark.parametrize(("name", "provider"), NAMED.items())
def test_every_model_that_is_named_has_its_row(name: str, provider: str) -> None:
    assert load().get(name).provider == provider


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("google-imagen", "google/imagen-4-ultra"),
        ("MJ", "midjourney"),
        ("gpt-image-2-2026-04-21", "gpt-image-2"),
        ("gemini-3-pro-image", "google/nano-banana-pro"),
        (" Nano-Banana-Pro ", "google/nano-banana-pro"),
    ],
)
def test_a_model_answers_to_its_other_names(alias: str, name: str) -> None:
    assert load().get(alias).name == name


def test_an_unknown_model_is_refused_with_the_nearest_names() -> None:
    with pytest.raises(UnknownThing, match=r"there is no model 'midjurney'; did you mean 'midjourney'"):
        load().get("midjurney")
    with pytest.raises(UnknownThing, match="likeness models"):
        load().get("?")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("dall-e-3", "'dall-e-3' was shut down on 2026-05-12; use 'gpt-image-2.5-sunburst'"),
        ("google/imagen-4-ultra", "'google/imagen-4-ultra' was shut down on 2026-08-17; use 'google/nano-banana-pro'"),
    ],
)
def test_a_retired_model_is_refused_with_its_successor(name: str, sentence: str) -> None:
    with pytest.raises(ModelRetired) as caught:
        load().get(name).check_usable(TODAY)
    assert str(caught.value) == sentence


def test_a_model_that_ends_within_thirty_days_warns() -> None:
    model = load().get("gpt-image-1.5")
    end = date(2026, 12, 1)
    assert model.check_usable(end - timedelta(days=31)) == []
    (warning,) = model.check_usable(TODAY)
    assert warning == ("'gpt-image-1.5' will be shut down on 2026-12-01, in 10 days; then use 'gpt-image-2.5-sunburst'")
    assert len(model.check_usable(end - timedelta(days=1))) == 1
    with pytest.raises(ModelRetired):
        model.check_usable(end)


def test_no_successor_is_gone_before_the_model_it_succeeds() -> None:
    for model in load():
        if model.successor is not None and model.retired_on is not None:
            assert load().get(model.successor).is_live(model.retired_on), model.name


def test_models_are_chosen_by_everything_asked_for() -> None:
    live = load().models(provider="sandbox", references=True, live_on=TODAY)
    assert [model.name for model in live] == ["midjourney", "midjourney-v7", "midjourney-v6.1", "midjourney-niji-6"]
    assert all(model.kind == "picture" for model in load().models())
    assert {model.name for model in load().models(live_on=date(2026, 12, 2), provider="openai")} == {
        "gpt-image-2.5-flare",
        "gpt-image-2.5-sunburst",
        "gpt-image-2",
    }


def test_a_provider_alone_means_its_usual_model() -> None:
    assert load().default("sandbox").name == "midjourney"
    for provider in SERVICES:
        model = load().default(provider)
        assert model.served_by(provider)
        assert model.check_usable(TODAY) == []
    with pytest.raises(UnknownThing, match="--model"):
        load().default("elsewhere")


def test_every_price_and_every_fact_has_a_source() -> None:
    for model in load():
        assert model.source
        assert all(row.source for row in model.prices)


def test_a_duration_is_expected_by_mode() -> None:
    model = load().get("midjourney")
    assert model.expected({"mode": "turbo"}) < model.expected({"mode": "fast"}) < model.expected({})
    assert load().get("gpt-image-2").expected({"mode": "fast"}) == timedelta(seconds=50)


def test_the_file_travels_with_the_package() -> None:
    assert Path(catalogue.__file__).with_name("catalogue.toml").is_file()


# --- Mistakes -------------------------------------------------------------------------------------------------------


def test_amounts_are_exact() -> None:
    (model,) = read(ROW + 'prices = [{ usd = 0.1, source = "s" }]\n')
    assert model.prices[0].usd == Decimal("0.1")


@pytest.mark.parametrize(
    ("addition", "complaint"),
    [
        ("colour = 1\n", "colour"),
        ('prices = [{ usd = -1, source = "s" }]\n', "greater than or equal"),
        ("prices = [{ usd = 1 }]\n", "source"),
        ('prices = [{ source = "s" }]\n', "either `usd` or `tokens`"),
        ('prices = [{ usd = 2, at_most_usd = 1, source = "s" }]\n', "below"),
        ('prices = [{ usd = 2, from = 2026-01-02, until = 2026-01-02, source = "s" }]\n', "not before"),
        ('prices = [{ usd = 1, source = "s" }, { usd = 2, source = "s" }]\n', "two prices hold at once"),
        (
            'prices = [{ usd = 1, until = 2026-02-01, source = "s" }, { usd = 2, from = 2026-01-31, source = "s" }]\n',
            "two prices hold at once",
        ),
        ('sizes = ["1K"]\nprices = [{ size = "1k", usd = 1, source = "s" }]\n', "a price for size '1k'"),
        ('qualities = ["low"]\nprices = [{ quality = "Low", usd = 1, source = "s" }]\n', "a price for quality 'Low'"),
        ('prices = [{ mode = "fast", usd = 1, source = "s" }]\n', "a price for mode 'fast'"),
        ("retired_on = 2026-01-01\n", "names its successor"),
        ('retired_on = 2026-01-01\nsuccessor = "y"\n', "not in the catalogue"),
        ('default_size = "1K"\n', "default size"),
        ('default_quality = "hd"\n', "default quality"),
        ("pictures = 0\n", "greater than 0"),
        ('references = { style = "s", most = 0 }\n', "greater than 0"),
        ('kind = "sound"\n', "picture"),
    ],
)
def test_a_mistake_in_a_row_is_found_at_load(addition: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        read(ROW + addition)


def test_prices_may_follow_each_other() -> None:
    read(
        ROW + 'prices = [{ usd = 1, until = 2026-02-01, source = "s" }, { usd = 2, from = 2026-02-01, source = "s" }]\n'
    )


def test_two_models_cannot_answer_to_one_name() -> None:
    with pytest.raises(ValueError, match="two models answer to 'x'"):
        read(ROW, ROW)


def test_a_default_must_exist() -> None:
    with pytest.raises(UnknownThing):
        read(ROW, defaults='[defaults]\np = "y"\n')
