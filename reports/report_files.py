"""The report of a batch as data: one JSON document, or CSV with a row per generation."""

from collections.abc import Iterator
from typing import Any, Final

from domain.money import show
from reports.breakdowns import failure_classes
from reports.csv_cells import CellWriter, Writable
from reports.records import AssetLine, GenerationLine, Report
from reports.tries import sentences
from reports.wording import end_of, outcome, verdict

COLUMNS: Final = (
    "row", "index", "theme", "variation", "characters", "prompt", "end", "verdict", "core", "core_threshold", "style",
    "style_threshold", "tries", "cost_usd", "provider", "model", "job", "duration_s", "error_code", "error_message",
    "finished_at", "picture", "address",
)  # fmt: skip


def write_csv(report: Report, file: Writable) -> None:
    """A row per generation with its best picture; what begins like a formula is written as a text."""
    writer = CellWriter(file, line_end="\n")
    writer.writerow(COLUMNS)
    for line in sorted(report.generations, key=lambda line: line.position):
        writer.writerow("" if cell is None else cell for cell in _cells(line))


def _cells(line: GenerationLine) -> Iterator[Any]:
    best = line.best
    yield from (line.position, line.index, line.theme, line.variation, "; ".join(line.characters), line.prompt)
    yield from (end_of(line.state), verdict(line))
    yield from _scores(best) if best else (None,) * 4
    yield from (line.tries, show(line.cost_usd), line.provider, line.model, line.task_id, line.duration_s)
    yield from (line.error_code, line.error_message, line.finished_at and line.finished_at.isoformat())
    yield from (str(best.path) if best and best.path else None, best.url if best else None)


def _scores(asset: AssetLine) -> tuple[float | None, ...]:
    return (asset.core, asset.core_threshold, asset.style, asset.style_threshold)


def as_json(report: Report) -> dict[str, Any]:
    """All that the page shows; amounts are exact decimal strings, scores and seconds numbers."""
    return {
        "batch_id": report.batch_id,
        "name": report.name,
        "created_at": report.created_at.isoformat(),
        "finished_at": report.finished_at and report.finished_at.isoformat(),
        "wall_s": round(report.wall_s, 3),
        "outcome": outcome(report),
        "total": report.total,
        "accepted": report.accepted,
        "accepted_share": round(report.accepted / report.total, 6) if report.total else None,
        "counts": dict(report.counts),
        "charged_usd": show(report.charged_usd),
        "held_usd": show(report.held_usd),
        "in_doubt_usd": show(report.in_doubt_usd),
        "limit_usd": show(report.limit_usd),
        "avg_cost_per_image_usd": show(report.avg_cost_per_image_usd),
        "usd_per_call": show(report.usd_per_call),
        "character": report.character,
        "thresholds": report.thresholds,
        "overdue": list(report.overdue),
        "losses": [
            {"end": one.end, "code": one.code, "count": one.count, "cost_usd": show(one.cost_usd), "said": one.said}
            for one in failure_classes(report.generations)
        ],
        "spend": [{"at": at.isoformat(), "charged_usd": show(amount)} for at, amount in report.spend],
        "generations": [_generation(line) for line in sorted(report.generations, key=lambda line: line.position)],
    }


def _generation(line: GenerationLine) -> dict[str, Any]:
    return {
        "row": line.position,
        "index": line.index,
        "theme": line.theme,
        "variation": line.variation,
        "characters": list(line.characters),
        "prompt": line.prompt,
        "state": line.state.value,
        "end": end_of(line.state),
        "verdict": verdict(line),
        "provider": line.provider,
        "model": line.model,
        "job": line.task_id,
        "cost_usd": show(line.cost_usd),
        "duration_s": line.duration_s,
        "stage_s": {stage: round(seconds, 3) for stage, seconds in line.stage_s.items()},
        "error_code": line.error_code,
        "error_message": line.error_message,
        "finished_at": line.finished_at and line.finished_at.isoformat(),
        "tries": line.tries,
        "further_tries": sentences(line),
        "pictures": [_picture(asset) for asset in line.assets],
    }


def _picture(asset: AssetLine) -> dict[str, Any]:
    return {
        "picture": asset.label or str(asset.position),
        "best": asset.best,
        "passed": asset.passed,
        "core": asset.core,
        "core_threshold": asset.core_threshold,
        "style": asset.style,
        "style_threshold": asset.style_threshold,
        "style_decides": asset.style_decides,
        "text_alignment": asset.text_alignment,
        "path": None if asset.path is None else str(asset.path),
        "url": asset.url,
        "missing_reason": asset.missing_reason,
    }
