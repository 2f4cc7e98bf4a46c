"""A file of prompts becomes rows: a workbook, CSV, TSV, JSON, JSON lines, or plain text with one prompt a line.

The whole file is checked before the first row is returned, so that a bad line 150,000 means that nothing is enqueued.
What a row may hold is decided in `pipeline.intake.prompt_rows`.
"""

import io
import re
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any, BinaryIO

from domain.errors import BadInput
from pipeline.intake.cell_text import is_comment
from pipeline.intake.columns import KNOWN, column_name
from pipeline.intake.findings import Findings, Kind
from pipeline.intake.json_rows import read_json_array, read_json_lines
from pipeline.intake.prompt_rows import PromptRow, PromptRows, RowReader, by_status, rows_of
from pipeline.intake.spreadsheet import read_lines, read_table
from pipeline.intake.workbooks.choose import WorkbookOptions
from pipeline.intake.workbooks.reading import WorkbookFile, is_workbook

#: Of a text file that may be a table.
_HEADER_WITHIN = 5
_TABLES = frozenset({".csv", ".tsv"})


def read_prompts(
    path: Path,
    *,
    start: int = 0,
    end: int | None = None,
    approved_only: bool = False,
    workbook: WorkbookOptions | None = None,
    variables: Mapping[str, Sequence[str]] | None = None,
    findings: Findings | None = None,
) -> PromptRows:
    """The rows of the prompt file at `path`; `-` is standard input.

    Rows with a blank prompt are passed over and counted. Indexes must differ among the usable rows.

    Args:
        path: the ending names the format; without one the content does.
        start: first row wanted, counted from 0 among the usable rows.
        end: row before which to stop, or None for all.
        approved_only: only rows whose `status` or `approved` column says so.
        workbook: what holds for a workbook; of any other file it cannot be asked.
        variables: the values of placeholders, as `pipeline.intake.templates.read_variables` reads them.
        findings: collects what is odd about the file.

    Raises:
        BadInput: the file, a row of it, or the range cannot be used. Nothing is returned in part.
    """
    _check_range(start, end)
    name = "standard input" if str(path) == "-" else path.name
    kept = PromptRows(findings or Findings())
    with _opened(path) as source:
        book = _workbook(source, path=path, name=name, options=workbook or WorkbookOptions())
        if book is None:
            columns, raw = _raw_rows(source, path=path, name=name, findings=kept.findings)
        else:
            columns, raw = book.columns, book.rows()
        reader = RowReader(
            name=name,
            columns=columns,
            findings=kept.findings,
            approved_only=approved_only,
            variables=variables or {},
        )
        _take(kept, reader, raw, start=start, end=end, book=book)
    _refuse_what_is_not_there(kept, reader, name=name, start=start, end=end)
    return kept


def rows_in(
    prompts: Path | Iterable[str | Mapping[str, Any]], *, sheet: str | None, findings: Findings
) -> Iterable[PromptRow]:
    """The rows of a file, or of a script's own prompts.

    Raises:
        BadInput: they cannot be used, or a sheet was named that no file has; a single text or row, each of whose
            letters or columns would be a prompt to pay for.
    """
    if isinstance(prompts, str | bytes | Mapping):
        kind = type(prompts).__name__
        raise BadInput(f"prompts are a {kind}; give a list, also of one prompt, or the path of a file (a pathlib.Path)")
    if isinstance(prompts, Path):
        return read_prompts(prompts, workbook=WorkbookOptions(sheet=sheet), findings=findings)
    if sheet is not None:
        raise BadInput("a sheet is part of a workbook; give the path of one (a pathlib.Path) as prompts")
    return rows_of(prompts, findings=findings)


def _check_range(start: int, end: int | None) -> None:
    if start < 0:
        raise BadInput(f"--start {start} is before the first row; rows count from 0")
    if end is not None and end <= start:
        raise BadInput(f"--start {start} --end {end} is no range; rows count from 0, and the end comes after the start")


def _take(
    kept: PromptRows,
    reader: RowReader,
    raw: Iterator[tuple[int, dict[str, Any]]],
    *,
    start: int,
    end: int | None,
    book: WorkbookFile | None,
) -> None:
    """Read all rows and keep the wanted ones; what is wrong with one is said with its cell, where there are cells."""
    try:
        for row in reader.rows(raw):
            kept.usable += 1
            if start <= row.position and (end is None or row.position < end):
                kept.append(row)
    except BadInput as failure:
        raise (failure if book is None else book.located(failure, reader.column)) from failure.__cause__
    if book is not None:
        kept.workbook = book
        kept.findings.add_all(Kind.WORKBOOK, book.warnings)
        for said in book.notes:
            kept.findings.note(said)


def _refuse_what_is_not_there(kept: PromptRows, reader: RowReader, *, name: str, start: int, end: int | None) -> None:
    reader.refuse_if_empty(kept.usable)
    if start >= kept.usable or (end is not None and end > kept.usable):
        asked = f"--start {start}" if start >= kept.usable else f"--end {end}"
        raise BadInput(f"{name!r} has {kept.usable} usable rows, so {asked} is out of range; rows count from 0")
    kept.blank, kept.unapproved, kept.approved = reader.blank, reader.unapproved, reader.approved
    kept.approved_only = reader.approved_only
    if kept.unapproved and kept.approved_only:
        kept.findings.note(
            f"{kept.unapproved.total():,} rows of {name!r} are passed over, since their status is not 'approved':"
            f" {by_status(kept.unapproved)}"
        )


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """A seekable source of the bytes; pipes and standard input are read whole first."""
    if str(path) == "-":
        yield io.BytesIO(sys.stdin.buffer.read())
        return
    try:
        if path.is_dir():
            raise BadInput(f"{str(path)!r} is a directory; name a file in it")
        with path.open("rb") as file:
            regular = stat.S_ISREG(path.stat().st_mode)
            yield file if regular else io.BytesIO(file.read())
    except FileNotFoundError:
        raise BadInput(f"there is no file {str(path)!r}; check the name, or give the whole path") from None
    except PermissionError:
        raise BadInput(f"{str(path)!r} may not be read by this user; change its permissions (chmod u+r)") from None
    except OSError as failure:
        raise BadInput(f"{str(path)!r} cannot be read: {failure.strerror}; copy it to a local folder") from failure


def _workbook(source: BinaryIO, *, path: Path, name: str, options: WorkbookOptions) -> WorkbookFile | None:
    """The workbook that the file is, or None for any other kind."""
    head = source.read(8)
    source.seek(0)
    if is_workbook(head, path):
        return WorkbookFile(source, path=path, name=name, options=options)
    if options.asked:
        raise BadInput(f"{name!r} is no workbook; leave out --sheet, --hidden and --fill-merged")
    return None


def _raw_rows(
    source: BinaryIO, *, path: Path, name: str, findings: Findings
) -> tuple[Sequence[str] | None, Iterator[tuple[int, dict[str, Any]]]]:
    """Columns, where the format names them beforehand, and the rows as (line, values by column)."""
    head = source.read(65_536)
    if not head.removeprefix(b"\xef\xbb\xbf").strip():
        raise BadInput(f"{name!r} is empty; write a header with a column 'prompt' and one row a prompt")
    match _format(path, head, name=name):
        case "json":
            return None, read_json_array(source, name=name, rename=column_name)
        case "jsonl":
            return None, read_json_lines(source, name=name, rename=column_name)
        case "text":
            return ["prompt"], _text_rows(source, name=name, findings=findings)
    table = read_table(source, name=name, rename=column_name, wanted="prompt", findings=findings)
    _check_columns(table.columns, name=name)
    return table.columns, (
        (line, {column: cell for column, cell in zip(table.columns, cells, strict=False) if cell})
        for line, cells in table.rows
    )


def _text_rows(source: BinaryIO, *, name: str, findings: Findings) -> Iterator[tuple[int, dict[str, Any]]]:
    """One prompt a line."""
    for line, text in enumerate(read_lines(source, name=name), start=1):
        if is_comment(text):
            findings.add(Kind.COMMENT, "comment and ruler lines are passed over", line=line)
        elif not text.isspace():
            yield line, {"prompt": text}


def _format(path: Path, head: bytes, *, name: str) -> str:
    suffix = path.suffix.lower()
    if suffix in _TABLES:
        return "table"
    if suffix == ".json":
        return "json"
    if suffix in {".jsonl", ".ndjson"}:
        return "jsonl"
    if suffix not in {".txt", ""}:
        raise BadInput(
            f"{name!r} ends in {suffix!r}, which is not read; give a .xlsx, .ods, .csv, .tsv, .json, .jsonl or .txt"
        )
    first = head.removeprefix(b"\xef\xbb\xbf").lstrip().splitlines()[0].decode(errors="replace")
    if not suffix and first.startswith(("[", "{")):
        return "json" if first.startswith("[") else "jsonl"
    # A spreadsheet's "tab-delimited text" ends in .txt; its header must not become a paid prompt, wherever it stands.
    lines = head.removeprefix(b"\xef\xbb\xbf").decode(errors="replace").splitlines()
    heads = [[column_name(cell.strip(' "')) for cell in re.split(r"[,;\t]", line)] for line in lines[:_HEADER_WITHIN]]
    return "table" if "prompt" in heads[0] or any("prompt" in cells[1:] + cells[:-1] for cells in heads) else "text"


def _check_columns(columns: Sequence[str], *, name: str) -> None:
    if "prompt" in columns:
        return
    near = [column for column in columns if column not in KNOWN and "prompt" in column.casefold()]
    near = near or get_close_matches("prompt", columns, n=2, cutoff=0.6)
    advice = (
        f"rename {near[0]!r} to 'prompt'"
        if near
        else "name the column that holds the prompts 'prompt' in the first line"
    )
    found = ", ".join(repr(column[:60]) for column in columns[:12]) + (", ..." if len(columns) > 12 else "")
    raise BadInput(f"{name!r} has no column 'prompt' (found: {found}); {advice}", line=1)
