"""The composer that needs no key: a specification or a rough idea becomes prompts in the model's own dialect.

Deterministic: the same words and the same seed give the same prompts. A block (a brand, a character) survives word for
word; the person's own words stand first and are never rewritten. What it adds comes from lists, so that its lift can be
measured against a language model's.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from domain.garments import Attribute, Garment
from providers.catalogue import Model

VERSION: Final = 1
_CANDIDATES: Final = 4

_A: Final = Attribute
_LIGHT: Final = (
    "soft daylight",
    "warm evening light",
    "clean studio light",
    "diffuse window light",
    "golden hour light",
)
_VIEW: Final = ("full-length view", "three-quarter view", "front view", "full figure, centred")
_FINISH: Final = ("fine fabric detail", "true colours", "crisp focus", "natural folds and drape", "even exposure")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What prompts are composed of.

    Args:
        words: of a person, or None.
        negative: what must not be shown, or None.
        block: kept word for word, at the end of the words; "" for none.
        flags: Midjourney's, at the very end; "" for none.
    """

    words: str | None
    garments: Sequence[Garment]
    negative: str | None = None
    block: str = ""
    flags: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Composed:
    """Prompts, the best first, and what is to be sent as the negative prompt beside them; None where nothing is."""

    prompts: Sequence[str]
    negative: str | None
    notes: Sequence[str]


def compose(wanted: Wanted, model: Model, *, seed: int, candidates: int = _CANDIDATES) -> Composed:
    """Prompts for one model, each within its length."""
    rng = random.Random(f"{VERSION} {seed} {wanted.words} {model.name}")  # noqa: S311 -- chooses among words
    subject = "; ".join(filter(None, (_described(one) for one in wanted.garments)))
    negative, said, notes = _negative(wanted, model)
    prompts: list[str] = []
    for number in range(candidates):
        extra = [] if number == 0 and wanted.words and subject else _extra(rng)
        phrases = [one for one in (wanted.words, subject, *extra) if one]
        prompt = _within(_dialect(phrases, model), wanted, model, said)
        if prompt not in prompts:
            prompts.append(prompt)
    return Composed(prompts=prompts, negative=negative, notes=notes)


def as_given(wanted: Wanted, model: Model) -> Composed:
    """The person's words and nothing composed, with the block, what must not be shown, and the flags behind them."""
    negative, said, notes = _negative(wanted, model)
    prompt = " ".join(one for one in (wanted.words, wanted.block, said, wanted.flags) if one)
    return Composed(prompts=[prompt], negative=negative, notes=notes)


def finished(text: str, wanted: Wanted, model: Model) -> str:
    """Words that somebody else wrote, with the block, what must not be shown, and the flags behind them."""
    return _within(text, wanted, model, _negative(wanted, model)[1])


def _described(garment: Garment) -> str:
    """`a burgundy silk satin evening gown, fitted, v-neck, on a city street`."""
    get = garment.get
    head = [get(_A.COLOUR_PRIMARY), get(_A.PATTERN) if get(_A.PATTERN) != "solid" else None, get(_A.FABRIC_TYPE)]
    named = get(_A.GARMENT_TYPE)
    noun = " ".join(one for one in (*head, named) if one) if named else None
    article = f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}" if noun else None
    colours = [one for one in (get(_A.COLOUR_PRIMARY), get(_A.COLOUR_SECONDARY)) if one]
    palette = f"colours {' and '.join(colours)}" if not named and colours else None
    accent = f"with {get(_A.COLOUR_SECONDARY)}" if named and get(_A.COLOUR_SECONDARY) else None
    return ", ".join(one for one in (article, accent, palette, *_further(garment)) if one)


def _further(garment: Garment) -> Iterator[str]:
    get = garment.get
    if texture := get(_A.FABRIC_TEXTURE):
        yield f"{texture} texture"
    if weight := get(_A.FABRIC_WEIGHT):
        yield f"{weight} cloth"
    if silhouette := get(_A.SILHOUETTE):
        yield f"{silhouette} silhouette"
    for attribute in (_A.NECKLINE, _A.SLEEVES, _A.LENGTH):
        if value := get(attribute):
            yield value
    yield from garment.details
    if aesthetic := get(_A.AESTHETIC):
        yield f"{aesthetic} style"
    for attribute in (_A.FORMALITY, _A.SEASON, _A.SCENE):
        if value := get(attribute):
            yield value


def _extra(rng: random.Random) -> list[str]:
    return [rng.choice(_VIEW), rng.choice(_LIGHT), rng.choice(_FINISH)]


def _dialect(phrases: Sequence[str], model: Model) -> str:
    """Phrases with commas for Midjourney, a sentence for models that read language."""
    if model.provider == "ttapi":
        return ", ".join(phrases)
    first, *rest = phrases
    told = f"{first[0].upper()}{first[1:]}".rstrip(".")
    return f"{told}. {_sentence(rest)}" if rest else f"{told}."


def _sentence(phrases: Sequence[str]) -> str:
    joined = ", ".join(phrases)
    return f"{joined[0].upper()}{joined[1:]}."


def _negative(wanted: Wanted, model: Model) -> tuple[str | None, str, list[str]]:
    """What goes beside the prompt, what goes into it, and what a person should know of that."""
    if not wanted.negative:
        return None, "", []
    if model.provider == "ttapi" or model.negative_prompt:
        return wanted.negative, "", []
    avoided = wanted.negative.strip().rstrip(".")
    return None, f"Without {avoided}.", [f"{model.title} takes no negative prompt: it was said in the prompt instead"]


def _within(text: str, wanted: Wanted, model: Model, said: str) -> str:
    """The prompt within the model's length: the block and the flags are never cut, what was composed is."""
    kept = " ".join(one for one in (wanted.block, said, wanted.flags) if one)
    if model.max_prompt_chars is not None:
        room = max(model.max_prompt_chars - len(kept) - 1, 0)
        if len(text) > room:
            text = text[:room].rpartition(" ")[0] or text[:room]
    return " ".join(one for one in (text, kept) if one)
