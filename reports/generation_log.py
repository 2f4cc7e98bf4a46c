"""The log of a batch as CSV, with the columns that the owner's earlier pipeline wrote."""

import io
import os
from collections.abc import Iterable
from pathlib import Path

from domain import money
from domain.states import PUBLIC_STATUS
from reports.csv_cells import CellWriter
from reports.records import GenerationLine, Report
from reports.wording import end_of, verdict

COLUMNS = (
    "index",
    "theme",
    "variation",
    "prompt",
    "task_id",
    "status",
    "image_url",
    "local_path",
    "duration",
    "cost",
    "timestamp",
    "error",
)


def write_log(report: Report, path: Path) -> None:
    """Write one row per generation, in batch order, as UTF-8 CSV with a header.

    `status` is the public status, `duration` is in seconds, `cost` in dollars, `timestamp` ISO 8601;
    a rejected generation is `failed`, and its `error` is its verdict. The pictures are the attempts' own.

    Raises:
        OSError: the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = CellWriter(file)
        writer.writerow(COLUMNS)
        writer.writerows(_row(line) for line in sorted(report.generations, key=lambda line: line.position))


class GrowingLog:
    """The same log while a batch runs: one line per generation as it becomes final, in that order.

    Every line is one write to the end of the file, so that a process that is killed leaves whole lines.

    Raises:
        OSError: the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        header = io.StringIO()
        CellWriter(header).writerow(COLUMNS)
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        draft.write_bytes(header.getvalue().encode())
        # A log of before stays whole until there is another one.
        draft.replace(path)
        self._path = path

    def append(self, lines: Iterable[GenerationLine]) -> None:
        handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            for line in lines:
                row = io.StringIO()
                CellWriter(row).writerow(_row(line))
                os.write(handle, row.getvalue().encode())
            os.fsync(handle)
        finally:
            os.close(handle)


def _row(line: GenerationLine) -> tuple[str, ...]:
    best = line.best
    return (
        line.index or str(line.position),
        line.theme or "",
        line.variation or "",
        line.prompt,
        line.task_id or "",
        PUBLIC_STATUS[line.state],
        (best.url if best else None) or "",
        str(best.path) if best and best.path else "",
        "" if line.duration_s is None else f"{line.duration_s:.1f}",
        money.show(line.cost_usd) or "",
        "" if line.finished_at is None else line.finished_at.isoformat(timespec="seconds"),
        _error(line),
    )


def _error(line: GenerationLine) -> str:
    if end_of(line.state) == "failed":
        return f"{line.error_code}: {line.error_message}" if line.error_code and line.error_message else verdict(line)
    return verdict(line) if end_of(line.state) in {"rejected", "canceled"} else ""
