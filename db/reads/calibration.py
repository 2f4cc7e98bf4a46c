"""What calibration asks the tables: pictures of other characters, and the versions of a character's thresholds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, any_, func, literal, select, union_all

from db.schema import characters, generation_assets, generations
from db.schema_checks import character_references, threshold_versions
from domain.ids import CharacterId
from domain.states import GenerationState
from domain.verdict import Thresholds


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherPicture:
    """A stored picture that shows another character.

    Args:
        character: its name.
        reference: one of its references; otherwise the picture of a completed generation.
    """

    character: str
    reference: bool
    sha256: str
    r2_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ThresholdVersion:
    """One version of a character's thresholds, as it was written.

    Args:
        aggregation: over the references.
        model: that the thresholds were fitted to, or None.
        calibration: every figure behind them, or None.
        style_decides: whether the style threshold is more than advice.
    """

    version: int
    core: float
    style: float
    origin: str
    aggregation: str
    model: str | None
    calibration: Mapping[str, Any] | None
    style_decides: bool
    created_at: datetime

    @property
    def thresholds(self) -> Thresholds:
        return Thresholds(
            version=self.version,
            core=self.core,
            style=self.style,
            origin=self.origin,
            style_decides=self.style_decides,
        )


def versions(connection: Connection, character_id: CharacterId) -> list[ThresholdVersion]:
    """Every version of the character's thresholds, the newest first."""
    rows = connection.execute(
        select(*[threshold_versions.c[name] for name in ThresholdVersion.__dataclass_fields__])
        .where(threshold_versions.c.character_id == character_id)
        .order_by(threshold_versions.c.version.desc())
    )
    return [ThresholdVersion(**row) for row in rows.mappings()]


def pictures_of_others(
    connection: Connection, character_id: CharacterId, *, each: int, most: int
) -> list[OtherPicture]:
    """References of other characters, and the pictures of their completed generations, the newest first.

    A character that shares a reference with this one is the same under another name, and left out; so is a
    generation that was to show both.

    Args:
        each: generations of one character.
        most: in all, taken from the characters in turns.
    """
    parts = union_all(_references(character_id), _generations(character_id, each=each)).subquery()
    rows = connection.execute(
        select(parts.c.character, parts.c.reference, parts.c.sha256, parts.c.r2_key)
        .order_by(parts.c.turn, parts.c.character, parts.c.sha256)
        .limit(most)
    )
    return [OtherPicture(**row) for row in rows.mappings()]


def same_under_other_names(connection: Connection, character_id: CharacterId) -> Sequence[str]:
    """Names of the characters that share a reference with this one."""
    return (
        connection.execute(
            select(characters.c.name).where(characters.c.id.in_(_twins(character_id)), characters.c.id != character_id)
        )
        .scalars()
        .all()
    )


def _twins(character_id: CharacterId) -> Select[Any]:
    """Characters that share a reference with this one, itself among them."""
    own = select(character_references.c.sha256).where(character_references.c.character_id == character_id)
    return select(character_references.c.character_id).where(character_references.c.sha256.in_(own))


def _someone_else(column: ColumnElement[Any], character_id: CharacterId) -> ColumnElement[bool]:
    # With no references at all it has no twins, and is still not somebody else.
    return (column != character_id) & column.not_in(_twins(character_id))


def _references(character_id: CharacterId) -> Select[Any]:
    return (
        select(
            characters.c.name.label("character"),
            literal(True).label("reference"),
            character_references.c.sha256,
            character_references.c.r2_key,
            (character_references.c.position + 1).label("turn"),
        )
        .join(characters, characters.c.id == character_references.c.character_id)
        .where(_someone_else(characters.c.id, character_id))
    )


def _generations(character_id: CharacterId, *, each: int) -> Select[Any]:
    turn = func.row_number().over(
        partition_by=generations.c.character_id, order_by=(generations.c.completed_at.desc(), generations.c.id)
    )
    numbered = (
        select(
            characters.c.name.label("character"),
            generation_assets.c.sha256,
            generation_assets.c.r2_key,
            turn.label("turn"),
        )
        .select_from(generations)
        .join(characters, characters.c.id == generations.c.character_id)
        .join(generation_assets, generation_assets.c.generation_id == generations.c.id)
        .where(
            generations.c.state == GenerationState.COMPLETED,
            generation_assets.c.best,
            generation_assets.c.r2_key.is_not(None),
            generation_assets.c.sha256.is_not(None),
            _someone_else(generations.c.character_id, character_id),
            ~(literal(character_id) == any_(generations.c.further_character_ids)),
        )
        .subquery()
    )
    return select(
        numbered.c.character, literal(False).label("reference"), numbered.c.sha256, numbered.c.r2_key, numbered.c.turn
    ).where(numbered.c.turn <= each)
