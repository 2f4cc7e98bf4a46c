"""A persona: the taste of a customer as a direction in embedding space, and the words that say it.

It comes from a description, from pictures that somebody likes, or from feedback. The direction matches it with what is
asked for; the words, each with its weight, are all that it adds to a prompt, so that its influence can be read.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from domain.errors import BadInput

Vector = NDArray[np.float64]

FORMAT: Final = "likeness-persona-1"
#: So many words say a persona.
MOST_WORDS: Final = 8
_LONGEST_NAME: Final = 100
_NAME: Final = re.compile(r"[\w][\w .-]*")
_WORD: Final = re.compile(r"[^\W\d_][\w'-]+")
#: Words of the grammar, and those that any comment about a picture holds.
_IDLE: Final = frozenset(
    re.findall(
        r"\w+",
        "a about all also and any are as at be been but by can could do does even "
        "for from had has have her his how i if in into is it its just like likes "
        "liked love loves more most much my no not of on one only or our out over picture "
        "pictures image photo please really she so some than that the their them then there these they this "
        "those to too up very was we were what when which who will with would you your he "
        "prefers wants ",
    )
)

#: Instead of a name: the persona whose words are nearest to the prompt.
AUTO: Final = "auto"


class Source(StrEnum):
    """What a persona was made from."""

    DESCRIPTION = "description"
    PICTURES = "pictures"
    FEEDBACK = "feedback"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Persona:
    """A taste.

    Args:
        words: with weights from -1 to 1, strongest first; those below 0 are disliked.
        model: whose embedding `vector` is; vectors of different models can't be compared.
        vector: of unit length; None where no model read the description, and then words alone match it.
        made_of: how many pictures or words of feedback.
    """

    name: str
    description: str
    source: Source
    words: Sequence[tuple[str, float]]
    model: str | None = None
    vector: Vector | None = None
    made_of: int = 0

    def __post_init__(self) -> None:
        if len(self.name) > _LONGEST_NAME or not _NAME.fullmatch(self.name):
            raise BadInput(
                f"a persona's name has 1 to {_LONGEST_NAME} letters, digits, spaces, dots and hyphens;"
                f" this one is {self.name[:40]!r}"
            )
        if any(not -1 <= weight <= 1 for _, weight in self.words):
            raise BadInput("the weights of a persona's words lie between -1 and 1")
        if (self.vector is None) != (self.model is None):
            raise BadInput("a persona's vector goes with the name of the model that made it")
        if self.vector is not None and (self.vector.ndim != 1 or not np.isfinite(self.vector).all()):
            raise BadInput("a persona's vector is a list of finite numbers")

    @property
    def digest(self) -> str:
        """Equal for equal personas, whatever they are called."""
        told = json.dumps([list(map(list, self.words)), self.model, self.description], ensure_ascii=False)
        rest = b"" if self.vector is None else np.round(self.vector, 6).tobytes()
        return sha256(told.encode() + rest).hexdigest()[:16]

    @property
    def liked(self) -> list[tuple[str, float]]:
        return [(word, weight) for word, weight in self.words if weight > 0]

    @property
    def disliked(self) -> list[tuple[str, float]]:
        return [(word, weight) for word, weight in self.words if weight < 0]


def words_of(texts: Iterable[str], *, against: Iterable[str] = ()) -> list[tuple[str, float]]:
    """The words that say a taste, strongest first.

    Args:
        texts: of what is liked: a description, or comments and prompts of pictures that somebody likes.
        against: of what is disliked; a word's weight falls with each use there, below 0 where it stands only there.
    """
    liked, disliked = _counted(texts), _counted(against)
    net = {word: liked[word] - disliked[word] for word in liked.keys() | disliked.keys()}
    most = max((abs(count) for count in net.values()), default=0)
    # Earlier words first among equals: a description begins with what matters.
    first = {word: index for index, word in enumerate([*liked, *disliked])}
    strongest = sorted((word for word in net if net[word]), key=lambda word: (-abs(net[word]), first[word]))
    return [(word, round(net[word] / most, 4)) for word in strongest[:MOST_WORDS]]


def _counted(texts: Iterable[str]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for text in texts:
        # Once per text: a word that one comment repeats is no more than one opinion.
        counts.update(list(dict.fromkeys(word for word in _WORD.findall(text.lower()) if word not in _IDLE)))
    return counts


def direction(liked: Vector, disliked: Vector | None = None, *, centre: Vector | None = None) -> Vector:
    """The unit vector from what is disliked, or from the centre of all pictures, to what is liked.

    Args:
        liked, disliked: (N, D) embeddings.
        centre: (D,) of pictures in general; None where only their own direction is known.

    Raises:
        BadInput: the two are the same, so there is no direction.
    """
    towards: Vector = liked.mean(axis=0)
    if disliked is not None and len(disliked):
        towards = towards - disliked.mean(axis=0)
    elif centre is not None:
        towards = towards - centre
    length = float(np.linalg.norm(towards))
    if length < 1e-9:
        raise BadInput("what is liked cannot be told from what is not; choose other pictures")
    return towards / length


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """How near a persona is to what is asked for; the cosine of their embeddings."""

    persona: Persona
    score: float


def matches(personas: Sequence[Persona], asked: Vector, *, model: str) -> list[Match]:
    """Personas by their nearness to an embedding by `model`, nearest first; those of other models are left out."""
    length = float(np.linalg.norm(asked)) or 1.0
    found = [
        Match(persona=one, score=float(one.vector @ asked) / length)
        for one in personas
        if one.vector is not None and one.model == model and one.vector.shape == asked.shape
    ]
    return sorted(found, key=lambda one: (-one.score, one.persona.name))


@dataclass(frozen=True, slots=True, kw_only=True)
class Influence:
    """A prompt with what a persona added to it.

    Args:
        added: liked words that the prompt did not hold, with their weights.
        avoided: disliked words, for a negative prompt.
    """

    prompt: str
    added: Sequence[tuple[str, float]]
    avoided: Sequence[tuple[str, float]]


def influence(persona: Persona, prompt: str, *, strength: float = 0.5) -> Influence:
    """Add the persona's strongest words to the words of a prompt, before flags such as `--ar`.

    Args:
        strength: from 0, which adds nothing, to 1, which adds every word.
    """
    if not 0 <= strength <= 1:
        raise BadInput(f"the strength of a persona is a number from 0 to 1; this is {strength}")
    there = set(_WORD.findall(prompt.lower()))
    floor = 1 - strength
    added = [(word, weight) for word, weight in persona.liked if strength and weight >= floor and word not in there]
    avoided = [(word, weight) for word, weight in persona.disliked if strength and -weight >= floor]
    if not added:
        return Influence(prompt=prompt, added=[], avoided=avoided)
    said, *flags = re.split(r"(?=(?:^|\s)--[a-z])", prompt, maxsplit=1, flags=re.IGNORECASE)
    words = ", ".join(word for word, _ in added)
    joined = f"{said.rstrip().rstrip(',')}, {words}"
    return Influence(prompt="".join((joined, *flags)), added=added, avoided=avoided)


def as_document(persona: Persona) -> dict[str, Any]:
    """A persona as the JSON document that a file holds."""
    return {
        "format": FORMAT,
        "name": persona.name,
        "description": persona.description,
        "source": persona.source.value,
        "words": [[word, weight] for word, weight in persona.words],
        "model": persona.model,
        "vector": None if persona.vector is None else [round(float(value), 7) for value in persona.vector],
        "made_of": persona.made_of,
    }


def of_document(document: object) -> Persona:
    """The persona in a document.

    Raises:
        BadInput: what is wrong with it.
    """
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise BadInput(f'this is no file of a persona: it has no "format": "{FORMAT}"')
    try:
        vector = document["vector"]
        return Persona(
            name=str(document["name"]),
            description=str(document["description"]),
            source=Source(document["source"]),
            words=[(str(word), float(weight)) for word, weight in document["words"]],
            model=None if document["model"] is None else str(document["model"]),
            vector=None if vector is None else np.array([float(value) for value in vector]),
            made_of=int(document["made_of"]),
        )
    except KeyError as error:
        raise BadInput(f"the file of the persona lacks {error}") from None
    except (TypeError, ValueError) as error:
        raise BadInput(f"the file of the persona cannot be read: {error}") from None
