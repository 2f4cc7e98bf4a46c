"""What a call costs: known prices, estimates, formulas, and that an unknown price is never zero."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from domain.errors import BadInput, LimitTooSmall, PriceUnknown
from providers.catalogue import load
from providers.contract import Ask
from providers.openai.adapter import OpenAI
from providers.openai.token_prices import dollars, output_tokens
from providers.prices import price
from providers.replicate.adapter import Replicate
from providers.replicate.inputs import inputs_of

TODAY = date(2026, 11, 21)


def of(name: str, *, on: date = TODAY, **settings: Any) -> tuple[Decimal, Decimal]:
    found = price(load().get(name), settings, on=on)
    assert found.source
    return found.usd, found.at_most_usd


def ask(name: str, **settings: Any) -> Ask:
    return Ask(attempt_id="a", token="t", model=name, prompt="a pig", settings=settings)


def both(amount: str) -> tuple[Decimal, Decimal]:
    return Decimal(amount), Decimal(amount)


def test_an_imagine_is_held_at_the_owner_s_estimate() -> None:
    assert of("midjourney") == both("0.40")
    assert of("midjourney", mode="turbo") == both("0.40")


def test_a_maximum_that_the_caller_names_replaces_an_estimate() -> None:
    assert of("midjourney", max_image_cost="0.05") == both("0.05")
    found = price(load().get("midjourney"), {"max_image_cost": "9"}, on=TODAY, max_image_cost=Decimal("0.06"))
    assert found.at_most_usd == Decimal("0.06")


def test_an_unknown_price_is_not_zero() -> None:
    with pytest.raises(PriceUnknown, match=r"'runwayml/gen4-image'.*--max-image-cost"):
        of("runwayml/gen4-image")
    assert of("runwayml/gen4-image", max_image_cost=Decimal("0.10")) == both("0.10")


def test_a_price_that_no_longer_holds_is_unknown() -> None:
    assert of("google/imagen-4-ultra", on=date(2026, 8, 16)) == both("0.06")
    with pytest.raises(PriceUnknown):
        of("google/imagen-4-ultra", on=date(2026, 8, 17))


def test_a_known_price_above_the_maximum_is_refused() -> None:
    assert of("google/nano-banana-pro", max_image_cost="0.15") == both("0.15")
    with pytest.raises(LimitTooSmall, match=r"0\.15 USD, more than the 0\.10 USD"):
        of("google/nano-banana-pro", max_image_cost="0.10")


@pytest.mark.parametrize(
    ("name", "settings", "amount"),
    [
        ("google/nano-banana-pro", {}, "0.15"),
        ("google/nano-banana-pro", {"resolution": "4K"}, "0.30"),
        ("openai/gpt-image-2", {}, "0.128"),
        ("openai/gpt-image-2", {"quality": "low"}, "0.012"),
        ("black-forest-labs/flux-kontext-max", {}, "0.08"),
        ("bytedance/seedream-4.5", {"n": 3}, "0.12"),
        ("black-forest-labs/flux-2-pro", {"size": "0.5 MP"}, "0.03"),
    ],
)
def test_a_price_follows_the_settings(name: str, settings: dict[str, Any], amount: str) -> None:
    assert of(name, **settings) == both(amount)


@pytest.mark.parametrize(
    ("name", "settings", "sent", "amount"),
    [
        ("google/nano-banana-pro", {"size": "4k"}, {"resolution": "4K"}, "0.30"),
        ("google/nano-banana-pro", {"resolution": " 4 k"}, {"resolution": "4K"}, "0.30"),
        ("openai/gpt-image-2", {"quality": "High"}, {"quality": "high"}, "0.128"),
        ("black-forest-labs/flux-2-pro", {"resolution": "4MP"}, {"resolution": "4 MP"}, "0.075"),
        # No key is known for its size, so none is sent, and another size than its own is not what is made.
        ("black-forest-labs/flux-2-dev", {"size": "4 MP"}, {}, "0.012"),
    ],
)
def test_the_price_is_that_of_the_words_that_are_sent(
    name: str, settings: dict[str, Any], sent: dict[str, str], amount: str
) -> None:
    assert of(name, **settings)[0] == Decimal(amount)
    body = Replicate().build_submit(ask(name, **settings)).json
    assert body is not None
    assert sent.items() <= body["input"].items()
    with pytest.raises(LimitTooSmall, match=r"more than the 0\.01 USD"):
        of(name, **settings, max_image_cost="0.01")


@pytest.mark.parametrize(
    ("settings", "like"),
    [
        ({"quality": "HIGH"}, {"quality": "high"}),
        ({"resolution": "2K", "quality": "low"}, {"quality": "low"}),
        ({"ar": "3:2", "quality": "low"}, {"size": "1536x1024", "quality": "low"}),
        ({"size": "1536 X 1024", "quality": "low"}, {"size": "1536x1024", "quality": "low"}),
    ],
)
def test_a_price_by_tokens_is_that_of_the_body_too(settings: dict[str, Any], like: dict[str, Any]) -> None:
    assert of("gpt-image-2", **settings) == of("gpt-image-2", **like)
    bodies = [OpenAI().build_submit(ask("gpt-image-2", **one)).json for one in (settings, like)]
    assert bodies[0] == bodies[1]


@pytest.mark.parametrize(
    ("name", "settings", "listed"),
    [
        ("google/nano-banana-pro", {"size": "8K"}, "resolution is '8K'.*takes one of 1K, 2K, 4K"),
        ("openai/gpt-image-2", {"quality": "max"}, "quality is 'max'.*takes one of low, medium, high, auto"),
        ("black-forest-labs/flux-2-pro", {"size": "big MP"}, "takes one of 0.5 MP, 1 MP, 2 MP, 4 MP"),
        ("google/nano-banana-pro", {"size": "1K", "resolution": "4K"}, "take one of them out"),
        ("midjourney", {"mode": "warp"}, "takes one of relax, fast, turbo"),
        ("dall-e-3", {"size": "512x512"}, "takes one of 1024x1024, 1792x1024, 1024x1792"),
    ],
)
def test_a_maximum_is_no_price_for_a_word_that_the_model_does_not_have(
    name: str, settings: dict[str, Any], listed: str
) -> None:
    for most in ({}, {"max_image_cost": "5"}):
        with pytest.raises(BadInput, match=listed):
            of(name, on=date(2026, 5, 11), **settings, **most)


def test_a_maximum_is_no_price_where_the_model_has_others() -> None:
    model = load().get("google/nano-banana-pro")
    dearer = model.model_copy(update={"prices": model.prices[:1]})
    for most in (None, Decimal(5)):
        with pytest.raises(BadInput, match="no price for size 4K; it has prices for size 1K"):
            price(dearer, {"size": "4K"}, on=TODAY, max_image_cost=most)


def test_no_price_depends_on_a_size_that_the_model_cannot_be_told() -> None:
    for model in load():
        if model.provider == "replicate" and inputs_of(model).size is None:
            assert {row.size for row in model.prices} <= {None}, model.name


@pytest.mark.parametrize(
    ("size", "expected", "at_most"), [("1 MP", "0.03", "0.045"), ("2 MP", "0.045", "0.06"), ("4 MP", "0.075", "0.09")]
)
def test_a_megapixel_may_be_more_than_a_million_pixels(size: str, expected: str, at_most: str) -> None:
    assert of("black-forest-labs/flux-2-pro", size=size) == (Decimal(expected), Decimal(at_most))


@pytest.mark.parametrize(
    ("references", "expected", "at_most"),
    [
        ([512 * 512], 1, 1),
        ([1_000_000, 1_000_001], 3, 3),
        ([1024 * 1024, 3000 * 2000], 8, 8),
        ([None], 1, 4),
        ([None, 3000 * 2000], 7, 10),
    ],
)
def test_references_cost_by_their_size_where_megapixels_do(
    references: list[int | None], expected: int, at_most: int
) -> None:
    found = price(load().get("black-forest-labs/flux-2-pro"), {}, on=TODAY, references=references)
    each = Decimal("0.015")
    assert (found.usd, found.at_most_usd) == (Decimal("0.03") + expected * each, Decimal("0.045") + at_most * each)
    assert price(load().get("google/nano-banana-pro"), {}, on=TODAY, references=references).usd == Decimal("0.15")


def test_the_historic_prices_are_kept() -> None:
    before = date(2026, 5, 11)
    assert of("dall-e-3", on=before) == both("0.04")
    assert of("dall-e-3", on=before, quality="hd") == both("0.08")
    assert of("dall-e-3", on=before, size="1792x1024") == both("0.08")
    assert of("dall-e-3", on=before, size="1792x1024", quality="hd") == both("0.12")


@pytest.mark.parametrize("wish", ["0", "-1", "free", "nan", "1e30", "1e-7", "inf", True])
def test_a_maximum_must_be_an_amount(wish: object) -> None:
    with pytest.raises(BadInput, match="max_image_cost"):
        of("midjourney", max_image_cost=wish)


@pytest.mark.parametrize("settings", [{"size": "1e30 MP"}, {"size": "inf MP"}, {"size": "nan MP"}, {"size": "0 MP"}])
def test_an_absurd_size_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match=r"takes one of 0\.5 MP, 1 MP"):
        of("black-forest-labs/flux-2-pro", **settings)


def test_a_count_that_no_book_can_hold_is_refused() -> None:
    with pytest.raises(BadInput, match="more than the books can hold"):
        of("openai/gpt-image-2", n=999_999_999)


@pytest.mark.parametrize("n", [0, -1, "two", True, 10**10, "9" * 5000])
def test_a_count_must_be_one(n: object) -> None:
    with pytest.raises(BadInput, match="n is"):
        of("bytedance/seedream-4.5", n=n)


# --- Tokens ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("quality", "tokens", "published"),
    [
        ("low", 196, "0.0059"),
        ("medium", 439, "0.0132"),
        ("high", 1756, "0.0527"),
        ("xhigh", 3122, "0.0937"),
        ("max", 7024, "0.2107"),
    ],
)
def test_the_formula_gives_the_five_published_figures(quality: str, tokens: int, published: str) -> None:
    assert output_tokens("gpt-image-2.5", quality=quality, width=1024, height=1024) == tokens
    cost = dollars(tokens, usd_per_million=Decimal(30))
    assert cost.quantize(Decimal("0.0001")) == Decimal(published)


@pytest.mark.parametrize(("quality", "tokens"), [("low", 196), ("medium", 1756), ("high", 7024)])
def test_the_older_words_mean_more(quality: str, tokens: int) -> None:
    assert output_tokens("gpt-image-2", quality=quality, width=1024, height=1024) == tokens


def test_wide_and_tall_cost_the_same() -> None:
    wide = output_tokens("gpt-image-2.5", quality="high", width=1536, height=1024)
    assert wide == output_tokens("gpt-image-2.5", quality="high", width=1024, height=1536)
    # 48 x 32 x (2,000,000 + 1,572,864) / 4,000,000 = 1371.98
    assert wide == 1372


def test_an_exact_half_is_rounded_to_the_even_number() -> None:
    # 16 x 1/32 = 0.5 -> 0 and 48 x 1/32 = 1.5 -> 2
    assert output_tokens("gpt-image-2.5", quality="low", width=16, height=512) == 0
    assert output_tokens("gpt-image-2.5", quality="high", width=16, height=512) == -(-48 * 2 * 2_008_192 // 4_000_000)


@pytest.mark.parametrize(("quality", "width", "height"), [("hd", 1024, 1024), ("low", 0, 1024)])
def test_what_no_picture_can_be_is_refused(quality: str, width: int, height: int) -> None:
    with pytest.raises(BadInput):
        output_tokens("gpt-image-2.5", quality=quality, width=width, height=height)


def test_a_token_price_is_the_output_and_a_safe_input() -> None:
    found = price(load().get("gpt-image-2.5-flare"), {"quality": "high", "size": "1024x1024"}, on=TODAY)
    assert found.usd == found.at_most_usd == Decimal("0.052680")
    with_input = price(
        load().get("gpt-image-2.5-flare"),
        {"quality": "high", "size": "1024x1024"},
        on=TODAY,
        references=[None],
        prompt="p" * 400,
    )
    assert with_input.usd == Decimal("0.052680") + Decimal("0.0005") + Decimal("0.012288")
    assert with_input.at_most_usd == Decimal("0.052680") + Decimal("0.002") + Decimal("0.024576")


def test_auto_is_held_at_the_dearest_it_may_choose() -> None:
    usual, most = of("gpt-image-2.5-sunburst", size="auto")
    assert usual == Decimal("0.013170")
    assert most == max(
        of("gpt-image-2.5-sunburst", quality="max", size=size)[1] for size in ("1024x1024", "1536x1024", "1024x1536")
    )


def test_a_size_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(BadInput, match="write it like"):
        of("gpt-image-2", size="square", quality="low")
