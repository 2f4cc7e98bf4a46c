"""Make personas from descriptions, liked pictures and feedback; keep them, and lend their words to prompts.

Pictures enter as the embeddings that their check has left behind; a picture that no model has seen adds the words of
its prompt alone.
"""

from collections.abc import Sequence
from typing import Final

from db.records import embeddings, personas, preferences
from domain.access import LOCAL_TEAM
from domain.errors import BadInput
from learning.opinions import liking_of
from learning.persona import (
    AUTO,
    Match,
    Persona,
    Source,
    as_document,
    direction,
    matches,
    of_document,
    words_of,
)
from learning.vectors import Vector, embedding
from learning.vectors import embeddings as stacked
from pipeline.resources import Resources

#: Likings from which on a picture is liked, and to which it is not.
_LIKED: Final = 4.0
_DISLIKED: Final = 2.0
_MOST: Final = 2000


def from_description(resources: Resources, name: str, description: str, *, team: str = LOCAL_TEAM) -> Persona:
    """A persona from words alone.

    Raises:
        BadInput: nothing is left of the words, or the name cannot be used.
    """
    words = words_of([description])
    if not words:
        raise BadInput("the description holds no word that says a taste; say what somebody likes: colours, styles")
    return _kept(
        resources, Persona(name=name, description=description, source=Source.DESCRIPTION, words=words), team=team
    )


def from_pictures(
    resources: Resources, name: str, pictures: Sequence[tuple[str, str]], *, team: str = LOCAL_TEAM
) -> Persona:
    """A persona from pictures that somebody likes.

    Args:
        pictures: the digest of each, and the prompt that it was made from.

    Raises:
        BadInput: there is none, or the name cannot be used.
    """
    if not pictures:
        raise BadInput("name at least one picture that is liked")
    words = words_of([prompt for _, prompt in pictures])
    model, vector = _direction(resources, [one for one, _ in pictures], [])
    made = Persona(
        name=name,
        description="",
        source=Source.PICTURES,
        words=words,
        model=model,
        vector=vector,
        made_of=len(pictures),
    )
    return _kept(resources, made, team=team)


def from_feedback(resources: Resources, name: str, *, user_id: str, team: str = LOCAL_TEAM) -> Persona:
    """A persona from all that a user has said: ratings, hearts and outliers sort the pictures, comments add words.

    Raises:
        BadInput: the user has liked nothing yet, or the name cannot be used.
    """
    with resources.database.transaction() as connection:
        said = preferences.opinions(connection, team=team, most=_MOST, user_id=user_id)
    likings = {one.sha256: liking for one in said if (liking := liking_of(one.kind, one.rating)) is not None}
    liked = [one for one in said if likings.get(one.sha256, 0.0) >= _LIKED]
    disliked = [one for one in said if likings.get(one.sha256, 5.0) <= _DISLIKED]
    if not liked:
        raise BadInput(
            f"{user_id!r} has liked no picture yet: `likeness feedback say GENERATION heart`, or a rating of 4"
        )
    # What was said about a picture, and what it was asked for: both tell what is liked about it.
    words = words_of(
        [text for one in liked for text in (one.comment, one.prompt) if text],
        against=[text for one in disliked for text in (one.comment, one.prompt) if text],
    )
    model, vector = _direction(resources, [one.sha256 for one in liked], [one.sha256 for one in disliked])
    made = Persona(
        name=name,
        description=f"learned from the feedback of {user_id}",
        source=Source.FEEDBACK,
        words=words,
        model=model,
        vector=vector,
        made_of=len(said),
    )
    return _kept(resources, made, team=team)


def keep_document(
    resources: Resources, document: object, *, name: str | None = None, team: str = LOCAL_TEAM
) -> Persona:
    """Keep the persona of a file, under another name if one is given.

    Raises:
        BadInput: the document holds no persona.
    """
    if name is not None and isinstance(document, dict):
        document = {**document, "name": name}
    return _kept(resources, of_document(document), team=team)


def find(resources: Resources, name: str, *, team: str = LOCAL_TEAM) -> Persona:
    """The persona of that name.

    Raises:
        UnknownThing: there is none.
    """
    with resources.database.transaction() as connection:
        return of_document(personas.find(connection, name, team=team))


def list_all(resources: Resources, *, team: str = LOCAL_TEAM) -> list[Persona]:
    with resources.database.transaction() as connection:
        return [of_document(one) for one in personas.list_all(connection, team=team)]


def nearest(resources: Resources, prompt: str, *, team: str = LOCAL_TEAM) -> list[Match]:
    """The team's personas by the nearness of their words to a prompt, in the space of the model that is loaded here.

    Words are compared with words: a text and a picture have no common scale in it.
    """
    assert resources.scorer is not None
    asked = resources.scorer.embed_text(prompt)
    told: list[Persona] = []
    for one in list_all(resources, team=team):
        words = one.description if one.source is Source.DESCRIPTION else ", ".join(word for word, _ in one.liked)
        vector = resources.scorer.embed_text(words) if words else None
        if vector is not None:
            told.append(
                Persona(
                    name=one.name,
                    description=one.description,
                    source=one.source,
                    words=one.words,
                    model=_HERE,
                    vector=embedding(vector),
                    made_of=one.made_of,
                )
            )
    return [] if asked is None else matches(told, embedding(asked), model=_HERE)


#: The model of texts that were embedded by this process a moment ago.
_HERE: Final = "loaded"


def _direction(resources: Resources, liked: Sequence[str], disliked: Sequence[str]) -> tuple[str | None, Vector | None]:
    """The model and the direction, where it has seen what is liked and the direction can be told."""
    with resources.database.transaction() as connection:
        frames = embeddings.frames(connection)
        if not frames:
            return None, None
        known = embeddings.get_many(connection, sorted({*liked, *disliked}), fingerprint=frames[0].fingerprint)
    towards = [known[one][0] for one in dict.fromkeys(liked) if one in known]
    away = [known[one][0] for one in dict.fromkeys(disliked) if one in known]
    if not towards:
        return None, None
    centre = embedding(frames[0].core_centre) if frames[0].core_centre else None
    try:
        found = direction(stacked(towards), stacked(away) if away else None, centre=centre)
    except BadInput:
        return None, None  # what is liked looks like what is not: its words are all that there is
    return frames[0].fingerprint, found


def _kept(resources: Resources, persona: Persona, *, team: str) -> Persona:
    """Keep it under its name.

    Raises:
        BadInput: the name is a keyword of `--persona`, so that nobody could choose this one.
    """
    if persona.name.casefold() == AUTO:
        raise BadInput(
            f"a persona cannot be called {persona.name!r}: `--persona {AUTO}` chooses the persona that is nearest"
            " to the prompt; take another name"
        )
    with resources.database.transaction() as connection:
        personas.put(connection, persona.name, as_document(persona), digest=persona.digest, team=team)
    return persona
