"""A batch as a workbook that asks for exactly what the batch asked for: running it again finds every row known.

That is not hoped for: the file is read back before it is kept, and rows that would be new ones are named.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from db.reads.generations import GenerationDetails
from db.records import characters
from domain.errors import BadInput
from domain.ids import BatchId, CharacterId, normalised
from pipeline.characters.character_names import join_names
from pipeline.characters.references import named_urls
from pipeline.intake.prompt_file import read_prompts
from pipeline.intake.prompt_rows import PromptRow
from pipeline.resources import Resources
from pipeline.views import generations, status
from pipeline.views.generations import Wanted
from pipeline.views.report import line_of, report_of
from reports.workbook import MOST_ROWS, AskedLine, Written, write_workbook

_URLS: Final = "cref_urls"
_NAMED: Final = 5


def export_workbook(resources: Resources, batch_id: BatchId, path: Path, *, overwrite: bool = False) -> Written:
    """Write the batch to `path`.

    Args:
        overwrite: replace a file that holds something else, such as the same batch with remarks of a person's.

    Raises:
        BadInput: such a file is there, and `overwrite` is False; or the batch has more rows than a sheet.
        OSError: the file cannot be written.
    """
    batch = status.of_batch(resources, batch_id).batch
    told = generations.page(resources, Wanted(batch_id=batch_id, user_id=batch.user_id))
    if len(told) > MOST_ROWS:
        raise BadInput(f"{batch.name!r} has {len(told):,} rows, and a sheet has {MOST_ROWS:,}; use --format csv")
    names = _names(resources, told)
    lines = [_asked(resources, details, names) for details in told]
    path.parent.mkdir(parents=True, exist_ok=True)
    # Beside its place, so that it gets there in one step: an interrupted export leaves no half of a workbook.
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".export-") as folder:
        draft = Path(folder) / path.name
        written = write_workbook(report_of(resources, batch_id), lines, draft)
        if path.exists() and not overwrite and path.read_bytes() != draft.read_bytes():
            raise BadInput(f"{str(path)!r} is there and holds something else; name another file, or say --overwrite")
        changed = list(_changed(lines, read_prompts(draft))) if lines else []
        draft.replace(path)
    return replace(written, warnings=[*written.warnings, *_about(changed)])


def _names(resources: Resources, told: Sequence[GenerationDetails]) -> Mapping[UUID, str]:
    ids = {one for details in told for one in _cast(details)}
    with resources.database.transaction() as connection:
        return {one: characters.get(connection, CharacterId(one)).name for one in ids}


def _cast(details: GenerationDetails) -> Sequence[UUID]:
    row = details.generation
    return [] if row["character_id"] is None else [row["character_id"], *row["further_character_ids"]]


def _asked(resources: Resources, details: GenerationDetails, names: Mapping[UUID, str]) -> AskedLine:
    row = details.generation
    own = {name: value for name, value in row["pipeline_data"].get("row", {}).items() if name != "index"}
    if "status" in own:
        # The column says how the generation ended; what a person had said there was an approval.
        own.setdefault("approved", own.pop("status"))
    return AskedLine(
        line=line_of(resources, details),
        character=join_names(names[one] for one in _cast(details)),
        settings={name: _in_a_cell(name, value) for name, value in row["settings"].items()},
        own=own,
    )


def _in_a_cell(name: str, value: Any) -> str | int:
    if name == _URLS:
        return " ".join(named_urls({name: value}))
    return value if type(value) is int else str(value)


def _changed(lines: Sequence[AskedLine], rows: Sequence[PromptRow]) -> Iterator[int]:
    """Lines of the sheet that ask for something else than their generations did."""
    for number, (asked, row) in enumerate(zip(lines, rows, strict=False), start=2):
        same = (
            normalised(asked.line.prompt) == normalised(row.prompt)
            and dict(asked.settings) == dict(row.settings)
            and (asked.character, asked.line.provider, asked.line.model) == (row.character, row.provider, row.model)
        )
        if not same:
            yield number
    yield from range(len(rows) + 2, len(lines) + 2)


def _about(changed: Sequence[int]) -> Iterator[str]:
    if changed:
        named = ", ".join(map(str, changed[:_NAMED])) + (
            f" and {len(changed) - _NAMED} more" if changed[_NAMED:] else ""
        )
        yield f"rows {named} of the sheet cannot say all that was asked for; run again, they would be new ones"
