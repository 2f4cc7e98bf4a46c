"""Characters, their reference pictures, and the versions of their thresholds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, bindparam, delete, func, insert, null, select, true, update

from db.ids import new_id
from db.records.names_in_words import known_names
from db.schema import characters
from db.schema_checks import character_references, threshold_versions
from domain.access import LOCAL_TEAM
from domain.errors import UnknownThing
from domain.ids import CharacterId
from domain.verdict import Thresholds


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceRow:
    """One reference picture; `r2_key` is its key in the picture store.

    Args:
        uploaded_at: when it was uploaded to the bucket; None before that, or without a bucket.
    """

    position: int
    sha256: str
    r2_key: str
    media_type: str
    width: int
    height: int
    uploaded_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewThresholds:
    """A new version of a character's thresholds.

    Args:
        origin: where they come from; shown beside every verdict.
        model: the scoring model they were fitted to; None for defaults.
        aggregation: `max` or `mean` over the references; None keeps that of the newest version, initially `max`.
        calibration: figures of their calibration, as JSON.
        style_decides: whether the style threshold decides or is advisory.
    """

    core: float
    style: float
    origin: str
    model: str | None = None
    aggregation: str | None = None
    calibration: Mapping[str, Any] | None = None
    style_decides: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class CharacterRow:
    """A character with its newest thresholds.

    Args:
        aggregation: `max` or `mean` over the references.
        fitted_to: the scoring model that its thresholds were fitted to; None for defaults.
        calibration: figures of their calibration; None where they were not calibrated.
        removed_at: since when no new prompt can name it; None while one can.
    """

    id: CharacterId
    name: str
    description: str
    references: Sequence[ReferenceRow]
    thresholds: Thresholds
    aggregation: str = "max"
    fitted_to: str | None = None
    calibration: Mapping[str, Any] | None = None
    removed_at: datetime | None = None

    @property
    def fitted_revision(self) -> str | None:
        """Digest of the weights that its thresholds were fitted to, where the calibration records it."""
        model = (self.calibration or {}).get("model", {})
        found: str | None = model.get("revision")
        return found


def put(
    connection: Connection,
    *,
    name: str,
    description: str,
    references: Sequence[ReferenceRow],
    thresholds: NewThresholds,
    team: str = LOCAL_TEAM,
) -> CharacterId:
    """Create the character, or replace its references; thresholds that differ from the newest become a new version."""
    known = connection.execute(
        select(characters.c.id)
        .where(characters.c.team == team, characters.c.name == name, characters.c.removed_at.is_(None))
        .with_for_update(key_share=True)
    ).scalar_one_or_none()
    if known is None:
        known = new_id()
        connection.execute(insert(characters).values(id=known, name=name, description=description, team=team))
    else:
        connection.execute(update(characters).where(characters.c.id == known).values(description=description))
        connection.execute(delete(character_references).where(character_references.c.character_id == known))
    character_id = CharacterId(known)
    connection.execute(
        insert(character_references),
        [
            {
                "character_id": character_id,
                "position": reference.position,
                "sha256": reference.sha256,
                "r2_key": reference.r2_key,
                "media_type": reference.media_type,
                "width": reference.width,
                "height": reference.height,
                "uploaded_at": reference.uploaded_at,
            }
            for reference in references
        ],
    )
    set_thresholds(connection, character_id, thresholds)
    return character_id


def set_thresholds(connection: Connection, character_id: CharacterId, new: NewThresholds) -> int:
    """Write a new version unless the newest is the same; returns the number of the newest."""
    # Locked, because two writers would take the same number.
    connection.execute(select(characters.c.id).where(characters.c.id == character_id).with_for_update(key_share=True))
    newest = _newest(connection, character_id)
    aggregation = new.aggregation or (newest.aggregation if newest is not None else "max")
    wanted = {
        "core": new.core,
        "style": new.style,
        "origin": new.origin,
        "model": new.model,
        "aggregation": aggregation,
        "calibration": new.calibration,
        "style_decides": new.style_decides,
    }
    if newest is not None and all(getattr(newest, name) == value for name, value in wanted.items()):
        return int(newest.version)
    version = 1 if newest is None else newest.version + 1
    if new.calibration is None:
        wanted["calibration"] = null()  # None would be stored as JSON null, not SQL NULL
    connection.execute(insert(threshold_versions).values(character_id=character_id, version=version, **wanted))
    return int(version)


def _newest(connection: Connection, character_id: CharacterId) -> Row[Any] | None:
    return connection.execute(
        select(threshold_versions)
        .where(threshold_versions.c.character_id == character_id)
        .order_by(threshold_versions.c.version.desc())
        .limit(1)
    ).one_or_none()


def find(connection: Connection, name: str, *, team: str = LOCAL_TEAM) -> CharacterRow:
    """The team's character of that name.

    Raises:
        UnknownThing: there is none; the first of those that the team has are listed.
    """
    mine = (characters.c.team == team) & characters.c.removed_at.is_(None)
    found = connection.execute(select(characters.c.id).where(mine, characters.c.name == name)).scalar_one_or_none()
    if found is None:
        hint = known_names(connection, characters.c.name, mine) or "add it with `likeness character add`"
        raise UnknownThing(f"there is no character {name!r}; {hint}")
    return get(connection, CharacterId(found))


def named(connection: Connection, name: str, *, team: str) -> CharacterRow | None:
    """The same, or None where the team has none of that name."""
    mine = (characters.c.team == team) & characters.c.removed_at.is_(None)
    found = connection.execute(select(characters.c.id).where(mine, characters.c.name == name)).scalar_one_or_none()
    return None if found is None else get(connection, CharacterId(found))


def with_id(connection: Connection, character_id: UUID, *, team: str) -> CharacterRow | None:
    mine = (characters.c.team == team) & characters.c.removed_at.is_(None)
    known = connection.execute(select(characters.c.id).where(mine, characters.c.id == character_id)).first()
    return None if known is None else get(connection, CharacterId(character_id))


def remove(connection: Connection, name: str, *, team: str = LOCAL_TEAM) -> CharacterRow:
    """Take the character out of the team's list; its row stays, for the verdicts and generations that name it.

    Raises:
        UnknownThing: there is none.
    """
    found = find(connection, name, team=team)
    connection.execute(update(characters).where(characters.c.id == found.id).values(removed_at=func.now()))
    return found


def get(connection: Connection, character_id: CharacterId) -> CharacterRow:
    return get_many(connection, [character_id])[character_id]


_REFERENCE = tuple(ReferenceRow.__dataclass_fields__)
_NEWEST = (
    select(threshold_versions)
    .where(threshold_versions.c.character_id == characters.c.id)
    .order_by(threshold_versions.c.version.desc())
    .limit(1)
    .lateral("newest")
)
# Built once: they are read for every submission and every check, and building one costs more than sending it.
_MANY = (
    select(characters.c.name, characters.c.description, characters.c.removed_at, _NEWEST)
    .join(_NEWEST, true())
    .where(characters.c.id.in_(bindparam("ids", expanding=True)))
)
_REFERENCES_OF_MANY = (
    select(character_references.c.character_id, *[character_references.c[name] for name in _REFERENCE])
    .where(character_references.c.character_id.in_(bindparam("ids", expanding=True)))
    .order_by(character_references.c.position)
)


def get_many(connection: Connection, character_ids: Sequence[CharacterId]) -> dict[CharacterId, CharacterRow]:
    """Characters as they stand now; ids that are unknown are absent."""
    given = {"ids": list(character_ids)}
    rows = connection.execute(_MANY, given).all()
    references: dict[CharacterId, list[ReferenceRow]] = {one: [] for one in character_ids}
    for found in connection.execute(_REFERENCES_OF_MANY, given):
        references[found.character_id].append(ReferenceRow(**{name: getattr(found, name) for name in _REFERENCE}))
    return {row.character_id: _character(row, references[row.character_id]) for row in rows}


def get_each(connection: Connection, character_ids: Sequence[CharacterId]) -> list[CharacterRow | None]:
    """The characters that several threads ask for, in their order; None for an id that is unknown."""
    found = get_many(connection, sorted(set(character_ids)))
    return [found.get(one) for one in character_ids]


def _character(row: Row[Any], references: Sequence[ReferenceRow]) -> CharacterRow:
    return CharacterRow(
        id=CharacterId(row.character_id),
        name=row.name,
        description=row.description,
        references=references,
        thresholds=Thresholds(
            version=row.version,
            core=row.core,
            style=row.style,
            origin=row.origin,
            style_decides=row.style_decides,
            core_by_crops={int(crops): cut for crops, cut in (row.calibration or {}).get("core_by_crops", {}).items()},
        ),
        aggregation=row.aggregation,
        fitted_to=row.model,
        calibration=row.calibration,
        removed_at=row.removed_at,
    )


def list_characters(connection: Connection, *, team: str = LOCAL_TEAM) -> list[CharacterRow]:
    mine = (characters.c.team == team) & characters.c.removed_at.is_(None)
    of_team = select(characters.c.id).where(mine).order_by(characters.c.name)
    ids = [CharacterId(one) for one in connection.execute(of_team).scalars()]
    found = get_many(connection, ids)
    return [found[one] for one in ids]
