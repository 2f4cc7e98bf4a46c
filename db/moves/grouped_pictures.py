"""The grouped moves from a finished job to its verdict, on the terms of `db.moves.grouped`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, Float, Text, bindparam, cast, column, func, text, update
from sqlalchemy.dialects.postgresql import JSONB, UUID

from db.column_types import ByteStrings
from db.ids import new_id
from db.moves.collection import NewAsset, asset_row
from db.moves.grouped import as_json, first_of_each, move_all
from db.moves.rows import due_now, unleased
from db.moves.validation import READINGS, Check, NewVerdict, checks_of, verdict_values
from db.reads.work import COLUMNS, Lease, Work, work_of
from db.records import embeddings
from db.records.embeddings import Stored as StoredEmbedding
from db.schema import attempts, generations
from domain.ids import AssetId, AttemptId, LeaseToken
from domain.states import AttemptState, GenerationState


@dataclass(frozen=True, slots=True, kw_only=True)
class PaidClaim:
    """A claim of an attempt whose pictures are paid for and over whose present step nobody has died."""

    attempt_id: AttemptId
    lease: Lease


_CLAIMS: Final = (
    func.jsonb_to_recordset(cast(bindparam("given", type_=Text), JSONB))
    .table_valued(
        column("attempt_id", UUID),
        column("token", UUID),
        column("holder", Text),
        column("seconds", Float),
    )
    .render_derived("given", with_types=True)
)
_CLAIM: Final = (
    update(attempts)
    .where(
        attempts.c.id == _CLAIMS.c.attempt_id,
        attempts.c.state == bindparam("wanted"),
        attempts.c.deaths == 0,
        generations.c.id == attempts.c.generation_id,
        unleased(),
        due_now(),
    )
    .values(
        step_tries=attempts.c.step_tries + 1,
        lease_token=_CLAIMS.c.token,
        lease_until=func.now() + func.make_interval(0, 0, 0, 0, 0, 0, _CLAIMS.c.seconds),
        leased_by=_CLAIMS.c.holder,
    )
    .returning(*COLUMNS, attempts.c.lease_token)
)


def _claim(connection: Connection, claims: Sequence[PaidClaim], state: AttemptState) -> list[Work | None]:
    rows = [
        {
            "attempt_id": one.attempt_id,
            "token": one.lease.token,
            "holder": one.lease.holder,
            "seconds": one.lease.seconds,
        }
        for one in sorted(claims, key=lambda one: one.attempt_id)
    ]
    taken = connection.execute(_CLAIM, {"given": as_json(rows), "wanted": state.value}).all()
    # By token: of two messages for one attempt only one has won.
    works = {row.lease_token: work_of(row) for row in taken}
    return [works.get(one.lease.token) for one in claims]


def claim_collections(connection: Connection, claims: Sequence[PaidClaim]) -> list[Work | None]:
    """As `collection.claim`, where nobody has died over the step."""
    return _claim(connection, claims, AttemptState.COLLECTING)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckClaim(PaidClaim):
    """A claim to check with the model of that fingerprint; a process has one."""

    fingerprint: str


def claim_validations(connection: Connection, claims: Sequence[CheckClaim]) -> list[Check | None]:
    """As `validation.claim`, where nobody has died over the step."""
    works = _claim(connection, claims, AttemptState.VALIDATING)
    return checks_of(connection, works, fingerprint=claims[0].fingerprint)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """Pictures of an attempt that are to be checked; see `collection.collected`."""

    work: Work
    token: LeaseToken
    assets: Sequence[NewAsset]

    @property
    def attempt_id(self) -> AttemptId:
        return self.work.attempt_id


_STORED: Final = text(
    """
    WITH given AS (
        SELECT * FROM jsonb_to_recordset(CAST(:given AS jsonb)) AS r(attempt_id uuid, token uuid)
    ), moved AS (
        UPDATE attempts a SET state = 'validating', stored_at = now(), published_at = now(), step_tries = 0,
            deaths = 0, error_code = NULL, error_message = NULL, lease_token = NULL, lease_until = NULL,
            leased_by = NULL
        FROM given
        WHERE a.id = given.attempt_id AND a.state = 'collecting' AND a.lease_token = given.token AND a.kind = 'image'
        RETURNING a.id, a.generation_id, a.provider
    ), generation AS (
        UPDATE generations g SET state = 'validating', updated_at = now(), completed_at = NULL
        FROM moved WHERE g.id = moved.generation_id AND g.state = 'collecting' RETURNING g.id
    ), asset AS (
        INSERT INTO generation_assets (id, generation_id, attempt_id, position, provider_id, r2_key, cdn_url,
            uploaded_at, sha256, media_type, file_size, width, height, missing_reason, metadata)
        SELECT r.id, moved.generation_id, moved.id, r.position, moved.provider, r.r2_key, r.cdn_url, r.uploaded_at,
            r.sha256, r.media_type, r.file_size, r.width, r.height, r.missing_reason, r.metadata
        FROM jsonb_to_recordset(CAST(:assets AS jsonb)) AS r(
            id uuid, attempt_id uuid, position int, r2_key text, cdn_url text, uploaded_at timestamptz, sha256 text,
            media_type text, file_size bigint, width int, height int, missing_reason text, metadata jsonb)
        JOIN moved ON moved.id = r.attempt_id
    ), input AS (
        INSERT INTO model_inputs (asset_id, attempt_id, pixels, size, preprocessing)
        SELECT i.asset_id, moved.id, i.pixels, i.size, i.preprocessing
        FROM unnest(CAST(:input_assets AS uuid[]), CAST(:input_attempts AS uuid[]), CAST(:pixels AS bytea[]),
            CAST(:sizes AS int[]), CAST(:digests AS text[])) AS i(asset_id, attempt_id, pixels, size, preprocessing)
        JOIN moved ON moved.id = i.attempt_id
    )
    SELECT moved.id AS attempt_id, generation.id IS NOT NULL AS generation_moved
    FROM moved LEFT JOIN generation ON generation.id = moved.generation_id
    """
)


def keep_pictures(connection: Connection, stored: Sequence[Stored]) -> list[GenerationState | None]:
    """As `collection.collected`, for pictures that are to be checked."""
    assets: list[dict[str, Any]] = []
    inputs: list[tuple[AssetId, AttemptId, bytes, int, str]] = []
    first = first_of_each(stored)
    for one in first.values():
        for asset in one.assets:
            row = asset_row(one.work, asset, AssetId(new_id()))
            assets.append(row)
            if asset.model_input is not None:
                inputs.append((row["id"], one.work.attempt_id, *asset.model_input))
    input_assets, input_attempts, pixels, sizes, digests = zip(*inputs, strict=True) if inputs else [()] * 5
    moved = move_all(
        connection,
        _STORED,
        [{"attempt_id": one.attempt_id, "token": one.token} for one in first.values()],
        assets=as_json(assets),
        input_assets=list(input_assets),
        input_attempts=list(input_attempts),
        pixels=ByteStrings(pixels),
        sizes=list(sizes),
        digests=list(digests),
    )
    return [
        GenerationState.VALIDATING if one.attempt_id in moved and first[one.attempt_id] is one else None
        for one in stored
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """Verdicts of an attempt whose generation ends with them; see `validation.judged` and `validation.align`.

    Args:
        new_embeddings: of pictures that had none, by digest of the file; kept in the same commit.
        fingerprint: of the model that made them.
    """

    attempt_id: AttemptId
    token: LeaseToken
    found: Sequence[NewVerdict]
    best: AssetId
    passed: bool
    alignments: Mapping[AssetId, float]
    new_embeddings: Mapping[str, StoredEmbedding] = field(default_factory=dict)
    fingerprint: str = ""


_VERDICT_COLUMNS: Final = (
    "core",
    "core_threshold",
    "style",
    "style_threshold",
    "style_decides",
    *READINGS,
    "threshold_version",
    "threshold_origin",
    "origin",
)
_JUDGED: Final = text(
    f"""
    WITH given AS (
        SELECT * FROM jsonb_to_recordset(CAST(:given AS jsonb)) AS r(
            attempt_id uuid, token uuid, passed boolean, best uuid, alignments jsonb, aligned_by jsonb)
    ), moved AS (
        UPDATE attempts a SET state = 'finished', outcome = CASE WHEN given.passed THEN 'completed' ELSE 'rejected' END,
            finished_at = now(), due_at = NULL, blame = NULL, illegal_prompt = false, error_code = NULL,
            error_message = NULL, lease_token = NULL, lease_until = NULL, leased_by = NULL
        FROM given
        WHERE a.id = given.attempt_id AND a.state = 'validating' AND a.lease_token = given.token AND a.kind = 'image'
            AND a.hold_state = 'charged'
            -- With pictures of several tries the best of all stands for the generation.
            AND NOT EXISTS (SELECT FROM attempts o WHERE o.generation_id = a.generation_id AND o.id <> a.id)
            -- Somebody may have allowed further tries since the claim.
            AND (given.passed OR NOT EXISTS (
                SELECT FROM generations g JOIN batches b ON b.id = g.batch_id
                WHERE g.id = a.generation_id AND CAST((b.try_policy || g.try_policy) ->> 'max_tries' AS int) > 1))
        RETURNING a.id, a.generation_id, given.passed, given.best, given.alignments, given.aligned_by
    ), generation AS (
        UPDATE generations g SET state = CASE WHEN moved.passed THEN 'completed' ELSE 'rejected' END,
            updated_at = now(), completed_at = now(), error_code = NULL, error_message = NULL, not_before = NULL
        FROM moved
        WHERE g.id = moved.generation_id AND g.state = 'validating' AND g.cancel_requested_at IS NULL RETURNING g.id
    ), verdict AS (
        INSERT INTO verdicts (asset_id, character_id, {", ".join(_VERDICT_COLUMNS)})
        SELECT r.asset_id, r.character_id, {", ".join(f"r.{name}" for name in _VERDICT_COLUMNS)}
        FROM jsonb_to_recordset(CAST(:verdicts AS jsonb)) AS r(
            attempt_id uuid, asset_id uuid, character_id uuid, core float, core_threshold float, style float,
            style_threshold float, style_decides boolean, core_raw float, core_corrected float, style_raw float,
            style_corrected float, nearest int, crop int, crops int, threshold_version int, threshold_origin text,
            origin jsonb)
        JOIN moved ON moved.id = r.attempt_id
        ON CONFLICT (asset_id, character_id) DO UPDATE SET created_at = now(),
            {", ".join(f"{name} = EXCLUDED.{name}" for name in _VERDICT_COLUMNS)}
    ), picture AS (
        UPDATE generation_assets s SET best = (s.id = moved.best),
            text_alignment = coalesce(CAST(moved.alignments ->> CAST(s.id AS text) AS float), s.text_alignment),
            text_alignment_by = CASE WHEN moved.alignments ? CAST(s.id AS text) THEN moved.aligned_by
                ELSE s.text_alignment_by END
        FROM moved WHERE s.attempt_id = moved.id
    ), input AS (
        DELETE FROM model_inputs i USING moved WHERE i.attempt_id = moved.id
    )
    SELECT moved.id AS attempt_id, generation.id IS NOT NULL AS generation_moved
    FROM moved LEFT JOIN generation ON generation.id = moved.generation_id
    """  # noqa: S608 -- names of our own columns
)


def judge(connection: Connection, judged: Sequence[Judged]) -> list[GenerationState | None]:
    """As `validation.judged` with `validation.align`, for a generation's only attempt after which no other is made."""
    rows, verdicts = [], []
    first = first_of_each(judged)
    for one in first.values():
        origin = one.found[0].origin
        rows.append(
            {
                "attempt_id": one.attempt_id,
                "token": one.token,
                "passed": one.passed,
                "best": one.best,
                "alignments": {str(asset): value for asset, value in one.alignments.items()},
                "aligned_by": {"model": origin.model, "revision": origin.revision},
            }
        )
        verdicts += [
            {"attempt_id": one.attempt_id, "asset_id": new.asset_id, "character_id": new.character_id}
            | verdict_values(new)
            for new in one.found
        ]
    # An embedding is that of its picture whatever becomes of the attempt.
    embeddings.put_each(connection, [(one.fingerprint, one.new_embeddings) for one in first.values()])
    moved = move_all(connection, _JUDGED, rows, verdicts=as_json(verdicts))
    states = {True: GenerationState.COMPLETED, False: GenerationState.REJECTED}
    return [states[one.passed] if one.attempt_id in moved and first[one.attempt_id] is one else None for one in judged]
