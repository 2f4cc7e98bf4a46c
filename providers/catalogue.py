"""Reads the catalogue of models from `catalogue.toml`, and refuses at load what is malformed or contradicts itself.

Facts only. What a call costs is worked out in `providers.prices`; which wire a provider speaks is in
`providers.registry`.
"""

import difflib
import tomllib
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from domain.errors import BadInput, ModelRetired, UnknownThing
from domain.finishing import FinishStep

Kind = Literal["picture", "words", "upscale", "background"]
_DATA: Final = Path(__file__).with_name("catalogue.toml")
#: A model that ends within this time is usable, with a warning.
WARNED_WITHIN: Final = timedelta(days=30)


class _Row(BaseModel):
    # A key that nobody reads would be a fact that silently does nothing.
    model_config = ConfigDict(frozen=True, extra="forbid")


class References(_Row):
    """How a model takes a character's references.

    Args:
        style: the field or flag that carries them.
        most: how many at once.
        required: the model makes nothing without one.
    """

    style: str
    most: int = Field(gt=0)
    required: bool = False
    sure: bool = True


class Reads(_Row):
    """How much of a prompt a model reads; more is taken, and comes to nothing.

    Args:
        words: about; services count tokens, of which a word has one or two.
    """

    words: int = Field(gt=0)
    source: str = Field(min_length=1)


class UsageRates(_Row):
    """Dollars per million of the tokens that a reply says were used; input that was cached is cheaper where known."""

    text_in: Decimal = Field(ge=0)
    image_in: Decimal = Field(ge=0)
    image_out: Decimal = Field(ge=0)
    cached_text_in: Decimal | None = Field(default=None, ge=0)
    cached_image_in: Decimal | None = Field(default=None, ge=0)


class TokenRates(UsageRates):
    """The same, with the family whose formula counts the tokens beforehand (`providers.openai.token_prices`)."""

    family: str


class WordRates(_Row):
    """Dollars per million tokens of text."""

    usd_in: Decimal = Field(ge=0)
    usd_out: Decimal = Field(ge=0)


class PriceRow(_Row):
    """One price and when it holds: from `from` on, and before `until`.

    Args:
        size, quality, mode: the row holds for this value only; None for any.
        usd: per call.
        at_most_usd: where the call may cost more than `usd`.
        usd_per_input_mp, usd_per_output_mp: per megapixel, on top of `usd`.
        tokens: instead of `usd`.
        estimate: a figure of ours; a maximum that the caller names replaces it.
    """

    size: str | None = None
    quality: str | None = None
    mode: str | None = None
    usd: Decimal | None = Field(default=None, ge=0)
    at_most_usd: Decimal | None = Field(default=None, ge=0)
    usd_per_input_mp: Decimal = Field(default=Decimal(0), ge=0)
    usd_per_output_mp: Decimal = Field(default=Decimal(0), ge=0)
    tokens: TokenRates | None = None
    estimate: bool = False
    since: date = Field(default=date.min, alias="from")
    until: date = date.max
    source: str = Field(min_length=1)

    @model_validator(mode="after")
    def _is_one_price(self) -> Self:
        if (self.usd is None) == (self.tokens is None):
            raise ValueError("a price is either `usd` or `tokens`")
        if self.usd is not None and self.at_most_usd is not None and self.at_most_usd < self.usd:
            raise ValueError("`at_most_usd` is below `usd`")
        if self.since >= self.until:
            raise ValueError("`from` is not before `until`")
        return self

    @property
    def particulars(self) -> Mapping[str, str]:
        """What the row is limited to."""
        named = {"size": self.size, "quality": self.quality, "mode": self.mode}
        return {name: value for name, value in named.items() if value is not None}

    def holds_on(self, day: date) -> bool:
        return self.since <= day < self.until


class Model(_Row):
    """One model as one provider offers it.

    Args:
        name: unique, and what a caller names.
        stand_ins: further providers that take the model's calls, like the sandbox.
        aliases: other names under which it is found, old snapshots among them.
        kind: `picture`; `words` for a model that reads or writes about pictures; `upscale` and `background` for one
            that makes a picture larger or removes its background.
        pictures: how many one call makes.
        any_size: sizes beside the listed ones are taken too.
        aspect_ratios: `any` stands for every ratio.
        max_prompt_chars: a longer prompt is refused.
        reads: how much of a prompt it reads, where that is less than it takes.
        expected_s: usual duration by mode, or under `usual`.
        retired_on: the first day without it.
        sure: False where no page of the service itself confirms what the row says.
        words: rates of a `words` model.
        usage: what its replies are billed by, where its prices are not by tokens.
    """

    name: str = Field(min_length=1)
    title: str
    provider: str
    stand_ins: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    kind: Kind = "picture"
    pictures: int = Field(default=1, gt=0)
    modes: tuple[str, ...] = ()
    sizes: tuple[str, ...] = ()
    any_size: bool = False
    default_size: str | None = None
    qualities: tuple[str, ...] = ()
    default_quality: str | None = None
    formats: tuple[str, ...] = ()
    aspect_ratios: tuple[str, ...] = ()
    references: References | None = None
    negative_prompt: bool = False
    max_prompt_chars: int | None = Field(default=None, gt=0)
    reads: Reads | None = None
    expected_s: Mapping[str, float]
    retired_on: date | None = None
    successor: str | None = None
    sure: bool = True
    source: str = Field(min_length=1)
    prices: tuple[PriceRow, ...] = ()
    words: WordRates | None = None
    usage: UsageRates | None = None

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        if self.retired_on is not None and self.successor is None:
            raise ValueError(f"{self.name}: a model that ends names its successor")
        if self.default_size is not None and self.default_size not in self.sizes:
            raise ValueError(f"{self.name}: the default size is not among the sizes")
        if self.default_quality is not None and self.default_quality not in self.qualities:
            raise ValueError(f"{self.name}: the default quality is not among the qualities")
        for index, row in enumerate(self.prices):
            self._check_words(row)
            for other in self.prices[index + 1 :]:
                if row.particulars == other.particulars and row.since < other.until and other.since < row.until:
                    raise ValueError(f"{self.name}: two prices hold at once for {dict(row.particulars)}")
        return self

    def _check_words(self, row: PriceRow) -> None:
        has = {"size": self.sizes, "quality": self.qualities, "mode": self.modes}
        for name, value in row.particulars.items():
            if value not in has[name]:
                raise ValueError(f"{self.name}: a price for {name} {value!r}, which the model does not have")

    @property
    def billed(self) -> UsageRates | None:
        """The rates of the tokens that a reply counts, or None for a model that is not billed by them."""
        return self.usage or next((row.tokens for row in reversed(self.prices) if row.tokens is not None), None)

    def served_by(self, provider: str) -> bool:
        return provider == self.provider or provider in self.stand_ins

    def is_live(self, on: date) -> bool:
        return self.retired_on is None or on < self.retired_on

    def length_notes(self, words: str) -> list[str]:
        """A warning about a prompt of which the model reads the beginning alone; usually none."""
        count = len(words.split())
        if self.reads is None or count <= self.reads.words:
            return []
        read = f"{self.name!r} reads about {self.reads.words} ({self.reads.source})"
        return [f"the prompt has {count} words, and {read}; say what matters first"]

    def check_usable(self, on: date) -> list[str]:
        """Warnings for a person, usually none.

        Raises:
            ModelRetired: it was shut down; the sentence names its successor.
        """
        return self.check_end(self.retired_on, on)

    def check_end(self, end: date | None, on: date) -> list[str]:
        """The same for an end that the service itself names, whatever this row says.

        Raises:
            ModelRetired: `end` has come.
        """
        if end is None:
            return []
        instead = repr(self.successor) if self.successor else "another; `likeness models --live` lists those there are"
        if end <= on:
            raise ModelRetired(f"{self.name!r} was shut down on {end}; use {instead}")
        left = end - on
        if left > WARNED_WITHIN:
            return []
        return [f"{self.name!r} will be shut down on {end}, in {left.days} days; then use {instead}"]

    def expected(self, settings: Mapping[str, Any]) -> timedelta:
        """The usual time from submission to result; for an unknown mode, the slowest."""
        mode = str(settings.get("mode") or "usual")
        return timedelta(seconds=self.expected_s.get(mode, max(self.expected_s.values())))


class Catalogue:
    """All models, by name and alias, in the order of the data."""

    def __init__(
        self, models: tuple[Model, ...], *, defaults: Mapping[str, str], finishing: Mapping[str, str] | None = None
    ) -> None:
        self._models = models
        self._by_name: dict[str, Model] = {}
        for model in models:
            for name in (model.name, *model.aliases):
                if self._by_name.setdefault(name.lower(), model) is not model:
                    raise ValueError(f"two models answer to {name!r}")
        for model in models:
            if model.successor is not None and model.successor.lower() not in self._by_name:
                raise ValueError(f"the successor of {model.name!r} is not in the catalogue: {model.successor!r}")
        self._defaults = {provider: self.get(name) for provider, name in defaults.items()}
        self._finishing = {step: self.get(name) for step, name in (finishing or {}).items()}
        for step, model in self._finishing.items():
            if model.kind != step:
                raise ValueError(f"{model.name!r} is the default for {step!r} and is of kind {model.kind!r}")

    def __iter__(self) -> Iterator[Model]:
        return iter(self._models)

    def get(self, name: str) -> Model:
        """The model that answers to `name`; case does not matter.

        Raises:
            UnknownThing: none does; the sentence names the nearest ones.
        """
        found = self._by_name.get(name.strip().lower())
        if found is None:
            near = difflib.get_close_matches(name.strip().lower(), self._by_name, n=3, cutoff=0.5)
            names = ", ".join(repr(one) for one in dict.fromkeys(self._by_name[text].name for text in near))
            hint = f"did you mean {names}?" if names else "`likeness models` lists them"
            raise UnknownThing(f"there is no model {name!r}; {hint}")
        return found

    def default(self, provider: str) -> Model:
        """The model where only a provider is named.

        Raises:
            UnknownThing: the catalogue has none for it.
        """
        if provider not in self._defaults:
            raise UnknownThing(f"provider {provider!r} has no default model; name one with --model")
        return self._defaults[provider]

    def finisher(self, step: FinishStep, name: str | None = None) -> Model:
        """The model that does `step` to a picture: the one of that name, else the usual one.

        Raises:
            UnknownThing: no such model.
            BadInput: it does something else.
        """
        if name is None:
            return self._finishing[step]
        model = self.get(name)
        if model.kind != step:
            able = ", ".join(repr(one.name) for one in self.models(kind=step.value))
            raise BadInput(f"model {model.name!r} does not do {step.value!r}; there are {able}")
        return model

    def models(
        self,
        *,
        provider: str | None = None,
        references: bool = False,
        live_on: date | None = None,
        kind: Kind | None = "picture",
    ) -> list[Model]:
        """Those that fit everything asked for: served by `provider`, taking references, alive on a day."""
        return [
            model
            for model in self._models
            if (provider is None or model.served_by(provider))
            and (not references or model.references is not None)
            and (live_on is None or model.is_live(live_on))
            and (kind is None or model.kind == kind)
        ]


def read(text: str) -> Catalogue:
    """The catalogue in `text`.

    Raises:
        ValueError: a row is malformed, or rows contradict each other.
    """
    data = tomllib.loads(text, parse_float=Decimal)
    models = tuple(Model.model_validate(row) for row in data["model"])
    return Catalogue(models, defaults=data["defaults"], finishing=data.get("finishing"))


@cache
def load() -> Catalogue:
    """The catalogue that ships with the product; read once per process, since the file does not change."""
    return read(_DATA.read_text(encoding="utf-8"))
