"""Records of the pipeline as documents of the wire."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any
from uuid import UUID

from api import batch_wire, wire
from domain.errors import BadInput
from domain.money import show
from pipeline.characters import threshold_origin
from pipeline.operator.deletion import Deletion
from pipeline.views.acts import Act
from pipeline.views.generations import labels
from pipeline.views.stages import stages_of
from pipeline.views.status import BatchStatus
from pipeline.views.team import BatchLine, GenerationDetails


def generation(details: GenerationDetails) -> wire.Generation:
    row = details.generation
    own = row["pipeline_data"].get("row", {})
    called = labels(details)
    return wire.Generation(
        id=str(row["id"]),
        status=row["status"],
        state=row["state"],
        status_url=f"/api/generate/{row['id']}",
        batch_id=str(row["batch_id"]),
        user_id=row["user_id"],
        prompt=row["prompt"],
        provider=row["provider"],
        model=row["model"],
        cost=show(row["cost"]) or "0.00",
        settings=row["settings"],
        pipeline_data=row["pipeline_data"],
        translated=own.get("translated", []),
        error_code=row["error_code"],
        error_message=row["error_message"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        completed_at=row["completed_at"],
        stages=[wire.StageDone.model_validate({"added": {}, "detail": {}, **one}) for one in stages_of(details)],
        assets=[_asset(details, asset, called[asset["id"]]) for asset in details.assets],
        feedback=[_feedback(one) for one in details.feedback],
        acts=[act(one) for one in details.acts],
    )


def generation_taken(details: GenerationDetails, *, warnings: Sequence[str]) -> wire.GenerationTaken:
    return wire.GenerationTaken(**dict(generation(details)), warnings=list(warnings))


def _asset(details: GenerationDetails, asset: dict[str, Any], label: str) -> wire.Asset:
    # With several characters the one that is met least well: the picture passes when that one does.
    verdict = min(details.verdicts.get(asset["id"], []), key=threshold_origin.margin, default=None) or {}
    return wire.Asset(
        id=str(asset["id"]),
        label=label,
        position=asset["position"],
        url=None if asset["r2_key"] is None else f"/api/pictures/{asset['id']}",
        cdn_url=asset["cdn_url"],
        r2_key=asset["r2_key"],
        asset_type=asset["asset_type"],
        media_type=asset["media_type"],
        file_size=asset["file_size"],
        width=asset["width"],
        height=asset["height"],
        provider_id=asset["provider_id"],
        best=asset["best"],
        core=verdict.get("core"),
        core_threshold=verdict.get("core_threshold"),
        style=verdict.get("style"),
        style_threshold=verdict.get("style_threshold"),
        style_decides=verdict.get("style_decides"),
        passed=verdict.get("passed"),
        missing_reason=asset["missing_reason"],
    )


def _feedback(row: dict[str, Any]) -> wire.GivenFeedback:
    return wire.GivenFeedback(
        feedback_type=row["feedback_type"],
        rating=row["rating"],
        comment=row["comment"],
        user_id=row["user_id"],
        asset_id=None if row["asset_id"] is None else str(row["asset_id"]),
        created_at=row["created_at"],
    )


def act(row: Mapping[str, Any]) -> wire.ActDone:
    about = row["generation_id"]
    return wire.ActDone(
        at=row["at"],
        actor=row["actor"],
        key=row["key_name"],
        act=row["act"],
        generation_id=None if about is None else str(about),
        detail=dict(row["detail"]),
    )


def generations(all_details: list[GenerationDetails], *, limit: int) -> wire.Generations:
    """A page of up to `limit`, made of one more where there is a next page."""
    shown = all_details[:limit]
    more = len(all_details) > limit
    return wire.Generations(
        generations=[generation(details) for details in shown],
        next_cursor=cursor_of(shown[-1].generation["id"]) if more else None,
    )


def tombstone(deletion: Deletion) -> wire.Tombstone:
    return wire.Tombstone(
        id=str(deletion.generation_id),
        deleted_at=deletion.asked_at,
        deleted_by=deletion.asked_by,
        pictures_removed=deletion.removed,
        finished=deletion.done_at is not None,
    )


def batch(status: BatchStatus, acts: list[Act] | None = None) -> batch_wire.Batch:
    row = status.batch
    return batch_wire.Batch(
        id=str(row.id),
        name=row.name,
        user_id=row.user_id,
        status_url=f"/api/batches/{row.id}",
        total=status.progress.total,
        counts=status.progress.counts,
        accepted=status.accepted,
        finished=status.progress.unfinished == 0 and status.progress.finishing == 0,
        charged_usd=show(row.charged_usd) or "0.00",
        held_usd=show(row.held_usd) or "0.00",
        in_doubt_usd=show(row.in_doubt_usd) or "0.00",
        limit_usd=show(row.limit_usd),
        remaining_usd=show(status.remaining_usd),
        avg_cost_per_image_usd=show(status.avg_cost_per_image_usd),
        usd_per_call=show(status.usd_per_call),
        wall_s=round(status.progress.wall_s, 3),
        paused=row.paused_reason,
        stopped=row.stopped_reason,
        created_at=row.created_at,
        acts=[act(asdict(one)) for one in acts or []],
    )


def batches(lines: list[BatchLine], *, limit: int) -> batch_wire.Batches:
    shown = lines[:limit]
    return batch_wire.Batches(
        batches=[_summary(line) for line in shown],
        next_cursor=cursor_of(shown[-1].id) if len(lines) > limit else None,
    )


def _summary(line: BatchLine) -> batch_wire.BatchSummary:
    return batch_wire.BatchSummary(
        id=str(line.id),
        name=line.name,
        user_id=line.user_id,
        status_url=f"/api/batches/{line.id}",
        total=line.total,
        accepted=line.accepted,
        rejected=line.rejected,
        failed=line.failed,
        canceled=line.canceled,
        unfinished=line.unfinished,
        charged_usd=show(line.charged_usd) or "0.00",
        limit_usd=show(line.limit_usd),
        paused=line.paused_reason,
        stopped=line.stopped_reason,
        created_at=line.created_at,
    )


def cursor_of(last: UUID) -> str:
    return base64.urlsafe_b64encode(last.bytes).decode().rstrip("=")


def read_cursor(text: str | None) -> UUID | None:
    """The id behind a cursor.

    Raises:
        BadInput: it is none that was given out.
    """
    if text is None:
        return None
    try:
        return UUID(bytes=base64.b64decode(text + "==", altchars=b"-_", validate=True))
    except (ValueError, binascii.Error):
        raise BadInput("the cursor is none that was given out; leave it out for the first page") from None
