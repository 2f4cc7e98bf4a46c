"""Add and change characters: store their reference pictures and thresholds."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from db.records import acts, characters
from db.records.characters import CharacterRow, NewThresholds, ReferenceRow
from domain.access import LOCAL_TEAM, Actor
from domain.errors import BadInput, NotAPicture, UnknownThing
from domain.ids import CharacterId, sha256
from domain.verdict import DEFAULT
from pipeline.characters.character_names import check_name
from pipeline.resources import Resources
from reports.provenance import original_of
from validation.pixels import decode

__all__ = [
    "CharacterRow",
    "NewCharacter",
    "add",
    "find",
    "list_characters",
    "remove",
    "set_thresholds",
    "with_id",
    "write",
]

MOST_REFERENCES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCharacter:
    """A character to add, or to change if the name exists.

    Args:
        references: files, or the content of pictures that were verified already.
        origin: where the thresholds come from; shown beside every verdict.
        model: the scoring model they were fitted to; None for defaults.
        aggregation: `max` or `mean` over the references; None keeps the existing one, or `max` for a new character.
        style_decides: whether the style threshold decides or is advisory.
    """

    name: str
    description: str
    references: Sequence[Path | bytes]
    core: float
    style: float
    origin: str
    model: str | None = None
    aggregation: str | None = None
    style_decides: bool = True
    team: str = LOCAL_TEAM


def add(resources: Resources, new: NewCharacter, *, by: Actor | None = None) -> CharacterRow:
    """Read, verify and store the reference pictures, then write the character; all or nothing.

    An existing character keeps its thresholds unless new ones are given. Calibrated thresholds are kept only if the
    references and the aggregation stay the same.

    Args:
        by: who does so, for the team's acts; None: nobody is named there.

    Raises:
        BadInput: no name, no references, or one that cannot be read.
    """
    read = _read_all(new.name, new.references)
    rows = [_keep(resources, position, one) for position, one in enumerate(read)]
    given = NewThresholds(
        core=new.core,
        style=new.style,
        origin=new.origin,
        model=new.model,
        aggregation=new.aggregation,
        style_decides=new.style_decides,
    )
    with resources.database.transaction() as connection:
        known = characters.named(connection, new.name.strip(), team=new.team)
        kept = _kept(known, new, rows) if known is not None and new.origin == DEFAULT else None
        character_id = characters.put(
            connection,
            name=new.name.strip(),
            description=new.description,
            references=rows,
            thresholds=kept or given,
            team=new.team,
        )
        made = characters.get(connection, character_id)
        acts.note_change(connection, team=new.team, by=by, act=_put_act(known), detail=_put_detail(made))
        return made


def write(
    resources: Resources,
    *,
    name: str,
    description: str,
    references: Sequence[Path],
    thresholds: NewThresholds,
    by: Actor | None = None,
) -> CharacterRow:
    """Write a character as it is given, with its calibration, whatever one of that name had before; all or nothing.

    Raises:
        BadInput: no name, no references, or one that cannot be read.
    """
    read = _read_all(name, references)
    rows = [_keep(resources, position, one) for position, one in enumerate(read)]
    with resources.database.transaction() as connection:
        known = characters.named(connection, name, team=LOCAL_TEAM)
        character_id = characters.put(
            connection, name=name, description=description, references=rows, thresholds=thresholds
        )
        made = characters.get(connection, character_id)
        acts.note_change(connection, team=LOCAL_TEAM, by=by, act=_put_act(known), detail=_put_detail(made))
        return made


def _put_act(known: CharacterRow | None) -> str:
    return "character added" if known is None else "character changed"


def _put_detail(made: CharacterRow) -> dict[str, Any]:
    return {"character": made.name, "references": len(made.references), "version": made.thresholds.version}


def _read_all(name: str, references: Sequence[Path | bytes]) -> list[tuple[bytes, str, str, int, int]]:
    check_name(name)
    if not 0 < len(references) <= MOST_REFERENCES:
        raise BadInput(f"a character needs 1 to {MOST_REFERENCES} reference pictures, not {len(references)}")
    return [_read(path) for path in references]


def _kept(known: CharacterRow, new: NewCharacter, rows: Sequence[ReferenceRow]) -> NewThresholds | None:
    """The thresholds that an existing character keeps; None where they were fitted to other references."""
    same = [row.sha256 for row in rows] == [row.sha256 for row in known.references]
    alike = new.aggregation in {None, known.aggregation}
    if known.fitted_to is not None and not (same and alike):
        return None
    now = known.thresholds
    return NewThresholds(
        core=now.core,
        style=now.style,
        origin=now.origin,
        model=known.fitted_to,
        aggregation=new.aggregation,
        calibration=known.calibration,
        style_decides=now.style_decides,
    )


def set_thresholds(
    resources: Resources,
    name: str,
    *,
    core: float | None = None,
    style: float | None = None,
    aggregation: str | None = None,
    by: Actor | None = None,
) -> CharacterRow:
    """Change a character's thresholds or aggregation; None keeps the current value.

    Changed thresholds no longer count as calibrated. A style threshold that a user sets decides.

    Args:
        by: who does so, for the team's acts.

    Raises:
        UnknownThing: there is no such character.
    """
    with resources.database.transaction() as connection:
        now = characters.find(connection, name)
        new = NewThresholds(
            core=now.thresholds.core if core is None else core,
            style=now.thresholds.style if style is None else style,
            origin="set by a person",
            aggregation=aggregation,
            style_decides=now.thresholds.style_decides or style is not None,
        )
        characters.set_thresholds(connection, now.id, new)
        made = characters.get(connection, now.id)
        if made.thresholds.version != now.thresholds.version:
            acts.note_change(connection, team=LOCAL_TEAM, by=by, act="character changed", detail=told_of(made))
        return made


def told_of(made: CharacterRow) -> dict[str, Any]:
    """A character's thresholds, for the act of giving it these."""
    now = made.thresholds
    said = {"core": now.core, "style": now.style, "aggregation": made.aggregation, "version": now.version}
    return {"character": made.name, **said}


def _keep(resources: Resources, position: int, read: tuple[bytes, str, str, int, int]) -> ReferenceRow:
    content, ending, media_type, width, height = read
    stored = resources.store.put(content, ending=ending, prefix="references")
    return ReferenceRow(
        position=position,
        sha256=sha256(content),
        r2_key=stored.key,
        media_type=media_type,
        width=width,
        height=height,
        # Where the bucket is away, `asset.upload` or the first submission that needs an address uploads the file.
        uploaded_at=stored.uploaded_at,
    )


def _read(source: Path | bytes) -> tuple[bytes, str, str, int, int]:
    name = "that was sent" if isinstance(source, bytes) else repr(str(source))
    try:
        # A reference goes to providers, whom the record of an exported picture does not concern.
        content = original_of(source if isinstance(source, bytes) else source.read_bytes())
        picture = decode(content)
    except OSError as error:
        raise BadInput(f"reference picture {name} cannot be read: {error.strerror or error}") from None
    except NotAPicture as error:
        raise BadInput(f"reference picture {name} is not usable: {error}") from None
    return content, picture.extension.removeprefix("."), picture.media_type, picture.width, picture.height


def find(resources: Resources, name: str, *, team: str = LOCAL_TEAM) -> CharacterRow:
    with resources.database.transaction() as connection:
        return characters.find(connection, name, team=team)


def of_batch(resources: Resources, character_id: CharacterId) -> CharacterRow:
    """The character that a batch names, be it removed since."""
    with resources.database.transaction() as connection:
        return characters.get(connection, character_id)


def with_id(resources: Resources, text: str, *, team: str) -> CharacterRow:
    """The team's character of that id.

    Raises:
        UnknownThing: it has none; another team's is none.
    """
    with contextlib.suppress(ValueError), resources.database.transaction() as connection:
        found = characters.with_id(connection, UUID(text), team=team)
        if found is not None:
            return found
    raise UnknownThing(f"there is no character with the id {text!r}")


def remove(resources: Resources, name: str, *, team: str = LOCAL_TEAM, by: Actor | None = None) -> CharacterRow:
    """Have no new prompt name the character; generations that name it are checked against it as before.

    Args:
        by: who does so, for the team's acts.

    Raises:
        UnknownThing: the team has none of that name.
    """
    with resources.database.transaction() as connection:
        gone = characters.remove(connection, name, team=team)
        acts.note_change(connection, team=team, by=by, act="character removed", detail={"character": gone.name})
        return gone


def list_characters(resources: Resources, *, team: str = LOCAL_TEAM) -> list[CharacterRow]:
    with resources.database.transaction() as connection:
        return characters.list_characters(connection, team=team)
