"""From stored pictures to verdicts."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, and_, func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from db.moves.rows import due_now, error_columns, finish, leased_by, set_attempt, take, unleased
from db.reads.work import Lease, Work, select_work, work_of
from db.records import characters, closed_loop
from db.records.characters import CharacterRow
from db.records.closed_loop import Decision
from db.records.embeddings import Stored
from db.schema import attempts, generation_assets
from db.schema_checks import embeddings, model_inputs, verdicts
from domain.errors import LikenessError
from domain.escalation import Policy
from domain.ids import AssetId, AttemptId, CharacterId, LeaseToken
from domain.states import AttemptState, GenerationState, Outcome
from domain.verdict import Origin, Verdict

READINGS = ("core_raw", "core_corrected", "style_raw", "style_corrected", "nearest", "crop", "crops")
_VALIDATING = frozenset({AttemptState.VALIDATING})


@dataclass(frozen=True, slots=True, kw_only=True)
class NewVerdict:
    """The verdict of one asset, with what made its scores.

    Args:
        character_id: whom it is about; None where there is only one whom it can be about.
        readings: those of `READINGS`, where the scorer tells them.
    """

    asset_id: AssetId
    verdict: Verdict
    origin: Origin
    character_id: CharacterId | None = None
    readings: Mapping[str, float | int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredInput:
    """A stored picture and what the model will look at; `pixels` is None where the input is gone.

    Args:
        embedding: by the model that was asked for, where the picture has been checked before.
    """

    asset_id: AssetId
    r2_key: str
    sha256: str
    pixels: bytes | None
    size: int | None
    preprocessing: str | None
    embedding: Stored | None = None


def claim(connection: Connection, attempt_id: AttemptId, *, lease: Lease) -> Work | None:
    """The attempt if it is to be validated and nobody is at it; None is an ordinary answer."""
    claimed = connection.execute(
        update(attempts)
        .where(attempts.c.id == attempt_id, attempts.c.state == AttemptState.VALIDATING, unleased(), due_now())
        .values(step_tries=attempts.c.step_tries + 1, **leased_by(lease))
    )
    if claimed.rowcount != 1:
        return None
    return work_of(connection.execute(select_work().where(attempts.c.id == attempt_id)).one())


def look(connection: Connection, attempt_id: AttemptId) -> Work | None:
    """The attempt if it waits for its check; nothing is locked."""
    row = connection.execute(
        select_work().where(attempts.c.id == attempt_id, attempts.c.state == AttemptState.VALIDATING)
    ).one_or_none()
    return None if row is None else work_of(row)


def inputs(connection: Connection, attempt_id: AttemptId) -> list[StoredInput]:
    """Stored pictures of an attempt with their model inputs, in the provider's order."""
    return inputs_of(connection, [attempt_id])[attempt_id]


def inputs_of(
    connection: Connection, attempt_ids: Sequence[AttemptId], *, fingerprint: str | None = None
) -> dict[AttemptId, list[StoredInput]]:
    """The same of several attempts, with the embeddings that the model of that fingerprint has made of them."""
    found: dict[AttemptId, list[StoredInput]] = {one: [] for one in attempt_ids}
    if not found:
        return found
    rows = connection.execute(
        select(
            generation_assets.c.attempt_id,
            generation_assets.c.id.label("asset_id"),
            generation_assets.c.r2_key,
            generation_assets.c.sha256,
            model_inputs.c.pixels,
            model_inputs.c.size,
            model_inputs.c.preprocessing,
            embeddings.c.vector,
            embeddings.c.style,
            embeddings.c.further,
        )
        .outerjoin(model_inputs, model_inputs.c.asset_id == generation_assets.c.id)
        .outerjoin(
            embeddings,
            and_(embeddings.c.sha256 == generation_assets.c.sha256, embeddings.c.fingerprint == (fingerprint or "")),
        )
        .where(generation_assets.c.attempt_id.in_(attempt_ids), generation_assets.c.r2_key.is_not(None))
        .order_by(generation_assets.c.position)
    )
    for row in rows.mappings():
        values = dict(row)
        parts = [values.pop(name) for name in ("vector", "style", "further")]
        embedding = None if parts[0] is None else (parts[0], parts[1], parts[2])
        found[values.pop("attempt_id")].append(StoredInput(**values, embedding=embedding))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A claimed attempt with all that its check needs, as it was at the claim.

    Args:
        characters: whom its pictures must show.
        policy: which further tries its user allows.
    """

    work: Work
    inputs: Sequence[StoredInput]
    characters: Sequence[CharacterRow]
    policy: Policy


def checks_of(connection: Connection, works: Sequence[Work | None], *, fingerprint: str) -> list[Check | None]:
    """What checks by the model of that fingerprint need, in the order of `works`; None where nothing was claimed."""
    taken = [one for one in works if one is not None]
    if not taken:
        return [None for _ in works]
    inputs_by_attempt = inputs_of(connection, [one.attempt_id for one in taken], fingerprint=fingerprint)
    wanted = sorted({character_id for one in taken for character_id in one.character_ids})
    known = characters.get_many(connection, wanted)
    policies = closed_loop.policies_of(connection, [one.generation_id for one in taken])
    found = {
        one.attempt_id: Check(
            work=one,
            inputs=inputs_by_attempt[one.attempt_id],
            characters=[known[character_id] for character_id in one.character_ids],
            policy=policy,
        )
        for one, policy in zip(taken, policies, strict=True)
    }
    return [None if one is None else found[one.attempt_id] for one in works]


def judged(
    connection: Connection,
    attempt_id: AttemptId,
    *,
    token: LeaseToken,
    character_id: CharacterId,
    found: Sequence[NewVerdict],
    best: AssetId,
    further: Decision | None = None,
) -> GenerationState:
    """Every picture has its verdicts; the best one decides, and passes when it passes for every character.

    Args:
        character_id: of verdicts that name none.
        best: of this attempt; what stands for the generation is the best of all its tries.
        further: what the closed loop makes of a rejection; None where nobody asked for it.
    """
    work = take(connection, attempt_id, states=_VALIDATING, token=token)
    for one in found:
        write_verdict(connection, one.character_id or character_id, one)
    closed_loop.mark_best(connection, work.generation_id)
    if all(one.verdict.passed for one in found if one.asset_id == best):
        return finish(connection, work, GenerationState.COMPLETED, outcome=Outcome.COMPLETED)
    again = further is not None and further.next_try is not None
    target = GenerationState.QUEUED if again else GenerationState.REJECTED
    reached = finish(connection, work, target, outcome=Outcome.REJECTED)
    if further is not None:
        closed_loop.record_decision(connection, work, further, reached=reached)
    return reached


def align(connection: Connection, alignments: Mapping[AssetId, float], *, origin: Origin) -> None:
    """Keep how near each picture is to its prompt, and whose word that is: a later verdict may be another model's."""
    for asset_id in sorted(alignments):
        connection.execute(
            update(generation_assets)
            .where(generation_assets.c.id == asset_id)
            .values(
                text_alignment=alignments[asset_id],
                text_alignment_by={"model": origin.model, "revision": origin.revision},
            )
        )


def write_verdict(connection: Connection, character_id: CharacterId, new: NewVerdict) -> None:
    """Insert the verdict, or replace the one made under earlier thresholds or by another model."""
    values = verdict_values(new)
    connection.execute(
        upsert(verdicts)
        .values(asset_id=new.asset_id, character_id=character_id, **values)
        .on_conflict_do_update(
            index_elements=[verdicts.c.asset_id, verdicts.c.character_id], set_={**values, "created_at": func.now()}
        )
    )


def verdict_values(new: NewVerdict) -> dict[str, Any]:
    """The values of `verdicts`, all but whom the verdict is about."""
    return {
        **{name: new.readings.get(name) for name in READINGS},
        "core": new.verdict.scores.core,
        "core_threshold": new.verdict.thresholds.core,
        "style": new.verdict.scores.style,
        "style_threshold": new.verdict.thresholds.style,
        "style_decides": new.verdict.thresholds.style_decides,
        "threshold_version": new.verdict.thresholds.version,
        "threshold_origin": new.verdict.thresholds.origin,
        "origin": asdict(new.origin),
    }


def again(
    connection: Connection, attempt_id: AttemptId, *, token: LeaseToken, failure: LikenessError, wait: timedelta
) -> None:
    """The check could not be made now: the same step again after `wait`."""
    work = take(connection, attempt_id, states=_VALIDATING, token=token)
    set_attempt(
        connection,
        work,
        AttemptState.VALIDATING,
        published_at=func.now() + wait,
        blame=failure.blame,
        **error_columns(failure),
    )


def unfit(connection: Connection, attempt_id: AttemptId, *, token: LeaseToken | None, failure: LikenessError) -> None:
    """Fail a generation whose pictures cannot be checked; it stays charged, and keeps them."""
    work = take(connection, attempt_id, states=_VALIDATING, token=token)
    finish(connection, work, GenerationState.FAILED, outcome=Outcome.FAILED, failure=failure)
