"""From the provider's last word to pictures in the store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from db.ids import new_id
from db.moves.rows import (
    due_now,
    error_columns,
    finish,
    hand_back,
    leased_by,
    set_attempt,
    set_generation,
    take,
    unleased,
)
from db.reads.work import Lease, Work, select_work, work_of
from db.schema import attempts, generation_assets
from db.schema_checks import model_inputs
from db.texts import storable_json
from domain.errors import LikenessError
from domain.ids import AssetId, AttemptId, LeaseToken
from domain.states import AttemptKind, AttemptState, GenerationState, Outcome

_COLLECTING = frozenset({AttemptState.COLLECTING})


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAsset:
    """One picture of an attempt: stored, or missing with the reason.

    Args:
        uploaded_at: when it, and the grid it was cut from, were in the bucket; None while one is in a folder alone.
        model_input: pixels, edge and preprocessing digest for the check, or None where nothing is to be checked.
    """

    position: int
    r2_key: str | None = None
    cdn_url: str | None = None
    uploaded_at: datetime | None = None
    sha256: str | None = None
    media_type: str | None = None
    file_size: int | None = None
    width: int | None = None
    height: int | None = None
    missing_reason: str | None = None
    metadata: Mapping[str, Any]
    model_input: tuple[bytes, int, str] | None = None


def claim(connection: Connection, attempt_id: AttemptId, *, lease: Lease) -> Work | None:
    """The attempt if it is to be collected and nobody is at it; None is an ordinary answer."""
    claimed = connection.execute(
        update(attempts)
        .where(attempts.c.id == attempt_id, attempts.c.state == AttemptState.COLLECTING, unleased(), due_now())
        .values(step_tries=attempts.c.step_tries + 1, **leased_by(lease))
    )
    if claimed.rowcount != 1:
        return None
    return work_of(connection.execute(select_work().where(attempts.c.id == attempt_id)).one())


def deaths(connection: Connection, attempt_id: AttemptId) -> int:
    """How many workers have died over the attempt's present step."""
    found = connection.execute(select(attempts.c.deaths).where(attempts.c.id == attempt_id)).scalar_one_or_none()
    return found or 0


def again(
    connection: Connection, attempt_id: AttemptId, *, token: LeaseToken, failure: LikenessError, wait: timedelta
) -> None:
    """The pictures are not to be had now: the same step again after `wait`."""
    work = take(connection, attempt_id, states=_COLLECTING, token=token)
    set_attempt(
        connection,
        work,
        AttemptState.COLLECTING,
        published_at=func.now() + wait,
        blame=failure.blame,
        **error_columns(failure),
    )


def renewed(connection: Connection, attempt_id: AttemptId, *, token: LeaseToken, result: Mapping[str, Any]) -> None:
    """The provider has named new addresses for the same pictures."""
    connection.execute(
        update(attempts)
        .where(attempts.c.id == attempt_id, attempts.c.lease_token == token)
        .values(result=storable_json(result))
    )


def collected(
    connection: Connection, attempt_id: AttemptId, *, token: LeaseToken, assets: Sequence[NewAsset]
) -> GenerationState:
    """At least one picture is safely stored.

    Returns:
        VALIDATING where the generation names a character, else a final state: the first picture stands for it. Of an
        attempt that was found late the pictures are kept, and that is all.
    """
    work = take(connection, attempt_id, states=_COLLECTING, token=token)
    checked = work.character_id is not None and work.kind is not AttemptKind.LATE
    first = min(asset.position for asset in assets if asset.r2_key is not None)
    ids = {asset.position: AssetId(new_id()) for asset in assets}
    rows = [asset_row(work, asset, ids[asset.position]) for asset in assets]
    for row in rows:
        row["best"] = not checked and work.kind is AttemptKind.IMAGE and row["position"] == first
    connection.execute(insert(generation_assets), rows)
    if not checked:
        connection.execute(update(attempts).where(attempts.c.id == attempt_id).values(stored_at=func.now()))
        return finish(connection, work, GenerationState.COMPLETED, outcome=Outcome.COMPLETED)
    put_inputs(connection, attempt_id, {ids[a.position]: a.model_input for a in assets if a.model_input is not None})
    set_attempt(
        connection,
        work,
        AttemptState.VALIDATING,
        stored_at=func.now(),
        published_at=func.now(),
        step_tries=0,
        deaths=0,
        **error_columns(None),
    )
    return set_generation(connection, work, GenerationState.VALIDATING)


def asset_row(work: Work, asset: NewAsset, asset_id: AssetId) -> dict[str, Any]:
    """The values of `generation_assets`, all but whether it is the best."""
    return {
        "id": asset_id,
        "generation_id": work.generation_id,
        "attempt_id": work.attempt_id,
        "position": asset.position,
        "provider_id": work.provider,
        "asset_type": "finished" if work.kind is AttemptKind.FINISH else "image",
        "r2_key": asset.r2_key,
        "cdn_url": asset.cdn_url,
        "uploaded_at": asset.uploaded_at,
        "sha256": asset.sha256,
        "media_type": asset.media_type,
        "file_size": asset.file_size,
        "width": asset.width,
        "height": asset.height,
        "missing_reason": asset.missing_reason,
        "metadata": storable_json(asset.metadata),
    }


def put_inputs(connection: Connection, attempt_id: AttemptId, inputs: Mapping[AssetId, tuple[bytes, int, str]]) -> None:
    """Keep what the model will look at until the verdict."""
    if not inputs:
        return
    rows = [
        {"asset_id": asset, "attempt_id": attempt_id, "pixels": pixels, "size": size, "preprocessing": digest}
        for asset, (pixels, size, digest) in inputs.items()
    ]
    statement = upsert(model_inputs)
    statement = statement.on_conflict_do_update(
        index_elements=[model_inputs.c.asset_id],
        set_={name: statement.excluded[name] for name in ("pixels", "size", "preprocessing")},
    )
    connection.execute(statement, rows)


def refilled(
    connection: Connection,
    attempt_id: AttemptId,
    *,
    token: LeaseToken,
    inputs: Mapping[AssetId, tuple[bytes, int, str]],
) -> None:
    """What the model will look at is there again; claiming it for that was no try of the check."""
    work = take(connection, attempt_id, states=frozenset({AttemptState.VALIDATING}), token=token)
    put_inputs(connection, attempt_id, inputs)
    hand_back(connection, work.attempt_id, token=token)


def lost(connection: Connection, attempt_id: AttemptId, *, token: LeaseToken | None, failure: LikenessError) -> None:
    """Fail a generation that is paid for and has no picture; it stays charged, and nobody retries it unasked."""
    work = take(connection, attempt_id, states=_COLLECTING, token=token)
    finish(connection, work, GenerationState.FAILED, outcome=Outcome.FAILED, failure=failure)
