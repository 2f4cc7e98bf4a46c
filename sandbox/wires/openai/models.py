"""The models that OpenAI's wire knows here: until when, what they can be told, and what their tokens cost.

Token counts follow the calculator of OpenAI's guide (gpt-image-2 and later) or its tables (before). Dollars per million
tokens are millionths of a dollar per token.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

COMMON = frozenset(
    {"model", "prompt", "n", "size", "quality", "background", "output_format", "output_compression", "moderation"}
    | {"user", "stream", "partial_images"}
)
EDITS = frozenset({"images", "mask"})
WIDE = ("1536x1024", "1024x1536")


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One model.

    Attributes:
        created: day of its release.
        ends: the first day without it, or None.
        rates: micros per token of text in, pictures in, pictures out.
        bases: of the calculator, by quality.
        tables: instead: tokens by quality, for the square and for the other two sizes.
        fidelity: takes `input_fidelity`.
        words: micros per token in and out, of a model that answers with words.
    """

    created: date
    ends: date | None = None
    rates: tuple[Decimal, Decimal, Decimal] = (Decimal(5), Decimal(8), Decimal(30))
    bases: Mapping[str, int] = field(default_factory=dict)
    tables: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    reference_tokens: int = 1536
    fidelity: bool = False
    words: tuple[Decimal, Decimal] | None = None

    @property
    def pictures(self) -> bool:
        return bool(self.bases or self.tables)

    @property
    def qualities(self) -> tuple[str, ...]:
        return (*(self.bases or self.tables), "auto")

    def is_live(self, today: date) -> bool:
        return self.ends is None or today < self.ends


_BASES_2_5 = {"low": 16, "medium": 24, "high": 48, "xhigh": 64, "max": 96}

MODELS: Mapping[str, Model] = {
    "gpt-image-2.5-sunburst": Model(created=date(2026, 9, 8), bases=_BASES_2_5, reference_tokens=1500),
    "gpt-image-2.5-flare": Model(created=date(2026, 9, 8), bases=_BASES_2_5, reference_tokens=1500),
    "gpt-image-2": Model(created=date(2026, 4, 21), bases={"low": 16, "medium": 48, "high": 96}),
    "gpt-image-1.5": Model(
        created=date(2025, 12, 16),
        ends=date(2026, 12, 1),
        rates=(Decimal(5), Decimal(8), Decimal(32)),
        tables={"low": (272, 408), "medium": (1056, 1584), "high": (4160, 6240)},
        fidelity=True,
    ),
    "gpt-image-1-mini": Model(
        created=date(2025, 10, 6),
        ends=date(2026, 12, 1),
        rates=(Decimal(2), Decimal("2.5"), Decimal(8)),
        tables={"low": (625, 750), "medium": (1375, 1875), "high": (4500, 6500)},
    ),
    "gpt-image-1": Model(created=date(2025, 4, 23), ends=date(2026, 10, 23), tables={"low": (272, 408)}),
    "dall-e-3": Model(created=date(2023, 10, 31), ends=date(2026, 5, 12), tables={"standard": (0, 0)}),
    "dall-e-2": Model(created=date(2022, 11, 3), ends=date(2026, 5, 12), tables={"standard": (0, 0)}),
    "gpt-6-luna": Model(created=date(2026, 9, 22), words=(Decimal("0.10"), Decimal("0.50"))),
    "gpt-5.6-luna": Model(created=date(2026, 6, 3), words=(Decimal("0.20"), Decimal("1.20"))),
    "gpt-4o-mini": Model(created=date(2024, 7, 18), ends=date(2027, 1, 14), words=(Decimal("0.15"), Decimal("0.60"))),
}


def live(name: str, today: date) -> Model | None:
    model = MODELS.get(name)
    return model if model is not None and model.is_live(today) else None


def pixels(size: str) -> tuple[int, int]:
    width, _, height = size.partition("x")
    return int(width), int(height)


def output_tokens(model: Model, *, quality: str, size: str) -> int:
    """Tokens of one picture; `auto` makes a square in medium."""
    quality, size = ("medium" if quality == "auto" else quality), ("1024x1024" if size == "auto" else size)
    if model.tables:
        return model.tables[quality][1 if size in WIDE else 0]
    width, height = pixels(size)
    base = model.bases[quality]
    short = round(Decimal(base * min(width, height)) / max(width, height))
    return -(-(base * short * (2_000_000 + width * height)) // 4_000_000)


def usage(model: Model, *, prompt: str, references: int, pictures: int, quality: str, size: str) -> dict[str, Any]:
    """What the reply counts, and the bill is made of."""
    text = -(-len(prompt.encode()) // 4)
    images = references * model.reference_tokens
    out = pictures * output_tokens(model, quality=quality, size=size)
    return {
        "input_tokens": text + images,
        "input_tokens_details": {"text_tokens": text, "image_tokens": images},
        "output_tokens": out,
        "output_tokens_details": {"text_tokens": 0, "image_tokens": out},
        "total_tokens": text + images + out,
    }


def price_micros(model: Model, counted: Mapping[str, Any]) -> int:
    inputs = counted["input_tokens_details"]
    text, image, out = model.rates
    total = inputs["text_tokens"] * text + inputs["image_tokens"] * image + counted["output_tokens"] * out
    return int(total.quantize(Decimal(1), rounding=ROUND_HALF_EVEN))


def words_micros(name: str, tokens_in: int, tokens_out: int) -> int:
    """What an answer of words costs, rounded to a millionth of a dollar."""
    rates = MODELS[name].words or (Decimal(0), Decimal(0))
    return int((tokens_in * rates[0] + tokens_out * rates[1]).quantize(Decimal(1), rounding=ROUND_HALF_EVEN))


def document(name: str) -> dict[str, Any]:
    """As `GET /v1/models` shows it."""
    model = MODELS[name]
    return {
        "id": name,
        "object": "model",
        "created": (model.created - date(1970, 1, 1)).days * 86_400,
        "owned_by": "system",
        "shutdown_date": model.ends.isoformat() if model.ends else None,
    }
