"""New verdicts for what is final: by other thresholds or another model, never for what is being worked on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select, update

from db.moves.validation import NewVerdict, write_verdict
from db.records import history
from db.records.finishings import CHANGE, NO_LONGER_PASSES
from db.schema import attempts, generation_assets, generations
from db.schema_checks import verdicts
from db.schema_finishing import finishings
from domain.finishing import FinishOutcome
from domain.ids import AssetId, BatchId, CharacterId, GenerationId
from domain.states import GenerationState, sources_of

#: Final by a verdict. What failed or was canceled has none that decides.
_JUDGED = (GenerationState.COMPLETED, GenerationState.REJECTED)
ACTOR = "rescore"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPicture:
    """One stored picture of a generation, with the verdicts that it has.

    Args:
        verdicts: by character, the columns of each row.
        finished: whether finishing made it from another one; such a picture never stands for the generation.
    """

    asset_id: AssetId
    r2_key: str
    sha256: str
    best: bool
    verdicts: Mapping[CharacterId, Mapping[str, Any]]
    finished: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedGeneration:
    """A generation that a verdict has ended.

    Args:
        character_ids: whom its pictures must show.
        pictures: of all its attempts, in the order in which they were made; also those that finishing made.
        seen_at: when it was last moved, as the reader saw it.
    """

    id: GenerationId
    batch_id: BatchId
    position: int
    state: GenerationState
    character_ids: Sequence[CharacterId]
    pictures: Sequence[StoredPicture]
    seen_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejudged:
    """What becomes of a generation.

    Args:
        found: new verdicts, by character.
        best: the picture that stands for it now.
        finished: of pictures that finishing made, whether each passes now.
        reason: for its history, where it moves.
        seen_at: of the generation that was judged; one that has moved since has other pictures than these.
    """

    generation_id: GenerationId
    seen_at: datetime
    found: Sequence[tuple[CharacterId, NewVerdict]]
    best: AssetId
    target: GenerationState
    reason: str
    finished: Mapping[AssetId, bool]


def count(connection: Connection, *, batch_id: BatchId | None, character_id: CharacterId | None) -> int:
    """How many generations `judged` would give in all."""
    return connection.execute(
        select(func.count()).select_from(generations).where(*_wanted(batch_id, character_id))
    ).scalar_one()


def judged(
    connection: Connection,
    *,
    batch_id: BatchId | None,
    character_id: CharacterId | None,
    after: GenerationId | None,
    limit: int,
) -> list[JudgedGeneration]:
    """The next `limit` generations behind `after` in the order of their ids; nothing is locked."""
    chosen = select(generations).where(*_wanted(batch_id, character_id)).order_by(generations.c.id).limit(limit)
    if after is not None:
        chosen = chosen.where(generations.c.id > after)
    rows = connection.execute(chosen).all()
    pictures = _pictures(connection, [row.id for row in rows])
    return [
        JudgedGeneration(
            id=GenerationId(row.id),
            batch_id=BatchId(row.batch_id),
            position=row.position,
            state=GenerationState(row.state),
            character_ids=[CharacterId(row.character_id), *map(CharacterId, row.further_character_ids)],
            pictures=pictures.get(row.id, []),
            seen_at=row.updated_at,
        )
        for row in rows
    ]


def _wanted(batch_id: BatchId | None, character_id: CharacterId | None) -> list[ColumnElement[bool]]:
    wanted: list[ColumnElement[bool]] = [generations.c.state.in_(_JUDGED), generations.c.character_id.is_not(None)]
    if batch_id is not None:
        wanted.append(generations.c.batch_id == batch_id)
    if character_id is not None:
        named = generations.c.further_character_ids.contains([character_id])
        wanted.append(or_(generations.c.character_id == character_id, named))
    return wanted


def _pictures(connection: Connection, ids: Sequence[Any]) -> dict[Any, list[StoredPicture]]:
    assets = connection.execute(
        select(generation_assets)
        .where(
            generation_assets.c.generation_id.in_(ids),
            generation_assets.c.r2_key.is_not(None),
            generation_assets.c.sha256.is_not(None),
            generation_assets.c.asset_type.in_(("image", "finished")),
        )
        .order_by(generation_assets.c.created_at, generation_assets.c.attempt_id, generation_assets.c.position)
    ).all()
    known: dict[Any, dict[CharacterId, Mapping[str, Any]]] = {}
    for verdict in connection.execute(
        select(verdicts).where(verdicts.c.asset_id.in_([asset.id for asset in assets]))
    ).mappings():
        known.setdefault(verdict["asset_id"], {})[CharacterId(verdict["character_id"])] = dict(verdict)
    found: dict[Any, list[StoredPicture]] = {}
    for asset in assets:
        found.setdefault(asset.generation_id, []).append(
            StoredPicture(
                asset_id=AssetId(asset.id),
                r2_key=asset.r2_key,
                sha256=asset.sha256,
                best=asset.best,
                verdicts=known.get(asset.id, {}),
                finished=asset.asset_type == "finished",
            )
        )
    return found


def rejudge(
    connection: Connection, changes: Sequence[Rejudged], *, detail: Mapping[str, Any]
) -> dict[GenerationId, tuple[GenerationState, GenerationState]]:
    """Write new verdicts, choose the best picture anew, and move what now ends otherwise, all in one transaction.

    A generation that somebody has taken up meanwhile is left as it is. Rows are locked in the order of their ids.

    Args:
        detail: kept with every move in the history.

    Returns:
        Where each generation stood and where it stands; those that were left are absent.
    """
    by_id = {change.generation_id: change for change in changes}
    locked = connection.execute(
        select(generations.c.id, generations.c.state, generations.c.updated_at)
        .where(generations.c.id.in_(by_id), generations.c.state.in_(_JUDGED))
        .order_by(generations.c.id)
        .with_for_update()
    ).all()
    moved: dict[GenerationId, tuple[GenerationState, GenerationState]] = {}
    for row in locked:
        change = by_id[GenerationId(row.id)]
        # Final again, but by another attempt: the judgement knows nothing of its pictures.
        if row.updated_at != change.seen_at:
            continue
        for character_id, new in change.found:
            write_verdict(connection, character_id, new)
        for asset_id, passed in change.finished.items():
            _end_wishes(connection, asset_id, passed=passed)
        connection.execute(
            update(generation_assets)
            .where(
                generation_assets.c.generation_id == row.id,
                generation_assets.c.best != (generation_assets.c.id == change.best),
            )
            .values(best=generation_assets.c.id == change.best)
        )
        moved[change.generation_id] = GenerationState(row.state), change.target
        if row.state != change.target:
            _move(connection, change, from_state=row.state, detail=detail)
    return moved


def _end_wishes(connection: Connection, asset_id: AssetId, *, passed: bool) -> None:
    """Let the wishes that came to this picture end as its new verdict says.

    A wish that was rejected halfway stays so: its other steps were never done.
    """
    made_it = (
        select(attempts.c.changes[CHANGE]["last"].astext)
        .join_from(generation_assets, attempts, attempts.c.id == generation_assets.c.attempt_id)
        .where(generation_assets.c.id == asset_id)
        .scalar_subquery()
    )
    left = func.cardinality(finishings.c.steps)
    whole = or_(left == 0, and_(left == 1, made_it == "true"))
    before, now = (
        (FinishOutcome.REJECTED, {"outcome": FinishOutcome.FINISHED, "said": None})
        if passed
        else (FinishOutcome.FINISHED, {"outcome": FinishOutcome.REJECTED, "said": NO_LONGER_PASSES})
    )
    mine = finishings.c.asset_id == asset_id, finishings.c.outcome == before, whole
    connection.execute(update(finishings).where(*mine).values(**now))


def _move(connection: Connection, change: Rejudged, *, from_state: str, detail: Mapping[str, Any]) -> None:
    connection.execute(
        update(generations)
        .where(generations.c.id == change.generation_id, generations.c.state.in_(sources_of(change.target)))
        # `completed_at` stays: it became final then, and only its word is another one.
        .values(state=change.target, updated_at=func.now())
    )
    history.note(
        connection,
        generation_id=change.generation_id,
        from_state=from_state,
        to_state=change.target,
        actor=ACTOR,
        reason=change.reason,
        detail=detail,
    )
