"""Build the report of a batch: fill the records of `reports.records` from the database."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from db.reads import generations, jobs
from db.reads.generations import GenerationDetails, Wanted
from db.reads.jobs import OverdueJob
from db.records import characters
from db.records.characters import CharacterRow
from domain.ids import BatchId, CharacterId
from domain.states import AttemptKind, GenerationState
from pipeline.characters import threshold_origin
from pipeline.resources import Resources
from pipeline.views.generations import finished_pictures, labels
from pipeline.views.stages import seconds_by_stage
from pipeline.views.status import BatchStatus, of_batch
from pipeline.views.tries import tries_of
from reports import wording
from reports.records import AssetLine, GenerationLine, Picture, Report

_JUDGED = ("core", "core_threshold", "style", "style_threshold", "style_decides", "passed")


def report_of(resources: Resources, batch_id: BatchId) -> Report:
    """The report of a batch as of now."""
    status = of_batch(resources, batch_id)
    with resources.database.transaction() as connection:
        all_details = generations.all_details(connection, Wanted(batch_id=batch_id))
        spend = generations.spend_over_time(connection, batch_id)
        late = jobs.overdue(connection, batch_id=batch_id)
        batch_characters = [characters.get(connection, one) for one in _characters(status, all_details)]
        wanted = {one for details in all_details for one in _wanted_characters(details)}
        names = {one: characters.get(connection, one).name for one in wanted}
    rows = {asset["id"]: _row_of(details) for details in all_details for asset in details.assets}
    lines = [
        replace(
            line_of(resources, details, rows=rows),
            characters=[names[one] for one in _wanted_characters(details)],
            stage_s=seconds_by_stage(details),
        )
        for details in all_details
    ]
    described = _thresholds(batch_characters, all_details)
    record = _report(resources, status, lines, spend=spend, batch_characters=batch_characters, thresholds=described)
    return replace(record, overdue=[_overdue(one) for one in late])


def _overdue(one: OverdueJob) -> str:
    address = f"{one.batch}/{one.position}"
    return wording.overdue(address, job=one.job_id, lane=one.lane, age_s=one.age.total_seconds())


def _report(
    resources: Resources,
    status: BatchStatus,
    lines: Sequence[GenerationLine],
    *,
    spend: Sequence[Any],
    batch_characters: Sequence[CharacterRow],
    thresholds: str | None,
) -> Report:
    finished = [line.finished_at for line in lines if line.finished_at is not None]
    return Report(
        batch_id=str(status.batch.id),
        name=status.batch.name,
        title=status.batch.name,
        created_at=status.batch.created_at,
        finished_at=max(finished) if finished and status.progress.unfinished == 0 else None,
        wall_s=status.progress.wall_s,
        character=" and ".join(one.name for one in batch_characters) or None,
        references=[_reference(resources, one.name, row.r2_key) for one in batch_characters for row in one.references],
        counts=status.progress.counts,
        total=status.progress.total,
        accepted=status.accepted,
        charged_usd=status.batch.charged_usd,
        held_usd=status.batch.held_usd,
        in_doubt_usd=status.batch.in_doubt_usd,
        limit_usd=status.batch.limit_usd,
        avg_cost_per_image_usd=status.avg_cost_per_image_usd,
        usd_per_call=status.usd_per_call,
        generations=lines,
        spend=spend,
        thresholds=thresholds,
    )


def _characters(status: BatchStatus, all_details: Sequence[GenerationDetails]) -> list[CharacterId]:
    """The batch's characters, the main one first."""
    if status.batch.character_id is None:
        return []
    beside = (one for details in all_details for one in details.generation["further_character_ids"])
    return list(dict.fromkeys([status.batch.character_id, *map(CharacterId, beside)]))


def _wanted_characters(details: GenerationDetails) -> list[CharacterId]:
    """Whom a generation's picture must show, the main one first."""
    row = details.generation
    main = [] if row["character_id"] is None else [row["character_id"]]
    return [CharacterId(one) for one in (*main, *row["further_character_ids"])]


def _reference(resources: Resources, name: str, key: str) -> Picture:
    return Picture(path=_path(resources, key), label=f"reference of {name}")


def _thresholds(batch_characters: Sequence[CharacterRow], all_details: Sequence[GenerationDetails]) -> str | None:
    """The thresholds of the verdicts; where there are none, the thresholds in force."""
    described: dict[str, dict[str, None]] = {one.name: {} for one in batch_characters}
    for verdict in (one for details in all_details for verdicts in details.verdicts.values() for one in verdicts):
        if verdict["character"] in described:
            described[verdict["character"]][
                f"version {verdict['threshold_version']}: {threshold_origin.describe_verdict(verdict)}"
            ] = None
    for one in batch_characters:
        if not described[one.name]:
            now = one.thresholds
            described[one.name] = {f"version {now.version}: {wording.describe_thresholds(now)}": None}
    each = [f"{name}, {line}" for name, lines in described.items() for line in sorted(lines)]
    return f"Thresholds of {'; of '.join(each)}" if each else None


def _path(resources: Resources, key: str | None) -> Path | None:
    return None if key is None else resources.store.path_of(key)


def _row_of(details: GenerationDetails) -> str:
    return f"row {details.generation['position']}"


def line_of(
    resources: Resources, details: GenerationDetails, *, rows: Mapping[UUID, str] | None = None
) -> GenerationLine:
    """One line of a report, with the pictures of the attempt that represents the generation.

    Args:
        rows: label of the generation of a near duplicate, by picture id.
    """
    row = details.generation
    made = [attempt for attempt in details.attempts if attempt["kind"] != AttemptKind.FINISH]
    last = made[-1] if made else None
    shown, finished = shown_attempt(details), finished_pictures(details)
    return GenerationLine(
        position=row["position"],
        index=row["pipeline_data"].get("row", {}).get("index"),
        theme=row["theme"],
        variation=row["variation"],
        prompt=row["prompt"],
        state=GenerationState(row["state"]),
        provider=row["provider"],
        model=row["model"],
        task_id=last["job_id"] if last else None,
        cost_usd=row["cost"],
        duration_s=_duration_s(details),
        tries=sum(attempt["accepted_at"] is not None for attempt in made),
        error_code=row["error_code"],
        error_message=row["error_message"],
        finished_at=row["completed_at"],
        assets=[
            _asset(resources, details, asset, rows=rows or {})
            for asset in details.assets
            if asset["attempt_id"] == shown or asset["id"] in finished
        ],
        tried=tries_of(details),
    )


def shown_attempt(details: GenerationDetails) -> Any:
    """The attempt that represents the generation: the one with the best picture, else the last with any."""
    best = [asset["attempt_id"] for asset in details.assets if asset["best"]]
    every = [asset["attempt_id"] for asset in details.assets if asset["asset_type"] == "image"]
    return (best or every or [None])[-1]


def _duration_s(details: GenerationDetails) -> float | None:
    begun: list[datetime] = [one["intent_at"] for one in details.attempts if one["intent_at"] is not None]
    ended = details.generation["completed_at"]
    return (ended - min(begun)).total_seconds() if begun and ended is not None else None


def _asset(
    resources: Resources, details: GenerationDetails, asset: dict[str, Any], *, rows: Mapping[UUID, str]
) -> AssetLine:
    # With several characters, the one with the smallest margin: the picture passes when that one does.
    verdict = min(details.verdicts.get(asset["id"], []), key=threshold_origin.margin, default=None)
    judged = {} if verdict is None else {name: verdict[name] for name in _JUDGED}
    return AssetLine(
        position=asset["position"],
        label=labels(details)[asset["id"]],
        path=_path(resources, asset["r2_key"]),
        url=asset["cdn_url"] or asset["metadata"].get("source_url"),
        width=asset["width"],
        height=asset["height"],
        best=asset["best"],
        finished=asset["asset_type"] == "finished",
        text_alignment=asset["text_alignment"],
        aligned_by=threshold_origin.other_text_model(asset, verdict),
        like=rows.get(asset["near_duplicate_of"], "another picture") if asset["near_duplicate_of"] else None,
        missing_reason=asset["missing_reason"],
        **judged,
    )
