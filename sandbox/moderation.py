"""What the services object to: one list of words for all wires, each with its category and how far it comes.

A wire says in its own way what it objects to; which words those are is decided here and nowhere else, so that a check
made beforehand and the submission itself agree.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Category(StrEnum):
    """As OpenAI names them."""

    VIOLENCE = "violence"
    SEXUAL = "sexual"


class Stage(StrEnum):
    """Where a prompt with the word comes to its end at TTAPI; the other services know no stages.

    Attributes:
        DOOR: the keyword filter refuses it before a job exists, which counts as no illegal prompt.
        PROMPT: Midjourney finds it in the prompt once the job runs; a free check beforehand finds it too.
        PICTURE: only the picture shows it, so no check of the prompt finds it.
    """

    DOOR = "door"
    PROMPT = "prompt"
    PICTURE = "picture"


#: What can be known of a prompt before there is a picture.
BY_READING = frozenset({Stage.DOOR, Stage.PROMPT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Objection:
    category: Category
    stage: Stage


WORDS: Mapping[str, Objection] = {
    "beheaded": Objection(category=Category.VIOLENCE, stage=Stage.DOOR),
    "gore": Objection(category=Category.VIOLENCE, stage=Stage.DOOR),
    "nsfw": Objection(category=Category.SEXUAL, stage=Stage.DOOR),
    "nude": Objection(category=Category.SEXUAL, stage=Stage.DOOR),
    "bloodbath": Objection(category=Category.VIOLENCE, stage=Stage.PROMPT),
    "massacre": Objection(category=Category.VIOLENCE, stage=Stage.PROMPT),
    "naked": Objection(category=Category.SEXUAL, stage=Stage.PROMPT),
    "lingerie": Objection(category=Category.SEXUAL, stage=Stage.PICTURE),
}


def objections(text: str, at: frozenset[Stage] = frozenset(Stage)) -> dict[str, Objection]:
    """The words of `text` that are objected to at one of these stages, in alphabetical order.

    Each word counts alone, those behind a flag like `--no` too.
    """
    found = set(re.findall(r"[a-z]+", text.lower())) & WORDS.keys()
    return {word: WORDS[word] for word in sorted(found) if WORDS[word].stage in at}
