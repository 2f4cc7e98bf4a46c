"""Workbooks for tests: made by openpyxl, changed part by part where no library writes what is tried, or by hand."""

import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openpyxl
from openpyxl.worksheet.worksheet import Worksheet

from domain.errors import BadInput
from pipeline.intake.prompt_file import read_prompts
from pipeline.intake.prompt_rows import PromptRow
from pipeline.intake.workbooks.choose import WorkbookOptions

SHEET = "xl/worksheets/sheet1.xml"
STRINGS = "xl/sharedStrings.xml"
_NAMESPACES = " ".join(
    f'xmlns:{prefix}="{uri}"'
    for prefix, uri in {
        "office": "urn:oasis:names:tc:opendocument:xmlns:office:1.0",
        "table": "urn:oasis:names:tc:opendocument:xmlns:table:1.0",
        "text": "urn:oasis:names:tc:opendocument:xmlns:text:1.0",
        "style": "urn:oasis:names:tc:opendocument:xmlns:style:1.0",
        "draw": "urn:oasis:names:tc:opendocument:xmlns:drawing:1.0",
        "xlink": "http://www.w3.org/1999/xlink",
        "calcext": "urn:org:documentfoundation:names:experimental:calc:xmlns:calcext:1.0",
        "dc": "http://purl.org/dc/elements/1.1/",
    }.items()
)
Edit = Callable[[str], str]


def xlsx(fill: Callable[[openpyxl.Workbook, Worksheet], None], *, parts: Mapping[str, Edit] | None = None) -> bytes:
    """A workbook whose first sheet is `Prompts`.

    Args:
        fill: writes into it.
        parts: what to do with the XML of parts afterwards; a part that there is not begins empty.
    """
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    sheet.title = "Prompts"
    fill(book, sheet)
    file = io.BytesIO()
    book.save(file)
    return edited(file.getvalue(), parts or {})


def edited(content: bytes, parts: Mapping[str, Edit]) -> bytes:
    """The archive with some of its parts written anew."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        every = {name: archive.read(name) for name in archive.namelist()}
    for name, edit in parts.items():
        before = every.get(name, b"").decode()
        after = edit(before)
        assert after != before, f"nothing changed in {name}"
        every[name] = after.encode()
    return archived(every)


def archived(parts: Mapping[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return file.getvalue()


def rows(*every: Sequence[Any]) -> Callable[[openpyxl.Workbook, Worksheet], None]:
    """Writes rows from A1 on."""

    def fill(_book: openpyxl.Workbook, sheet: Worksheet) -> None:
        for row in every:
            sheet.append(list(row))

    return fill


def ods_row(*cells: str, attributes: str = "") -> str:
    """A row of cells, each as text or as XML where it begins like a tag."""
    inside = "".join(
        cell
        if cell.startswith("<")
        else f'<table:table-cell office:value-type="string"><text:p>{cell}</text:p></table:table-cell>'
        for cell in cells
    )
    return f"<table:table-row {attributes}>{inside}</table:table-row>"


def ods_cell(kind: str, shown: str, **attributes: str) -> str:
    """A cell of some type; `value`, `date-value` and so on are given with `_` for `-`."""
    written = "".join(f' office:{name.replace("_", "-")}="{value}"' for name, value in attributes.items())
    return f'<table:table-cell office:value-type="{kind}"{written}><text:p>{shown}</text:p></table:table-cell>'


def ods_table(*inside: str, name: str = "Prompts", attributes: str = "") -> str:
    return f'<table:table table:name="{name}" {attributes}>{"".join(inside)}</table:table>'


def ods(*tables: str, styles: str = "", manifest: str = "<manifest/>", doctype: str = "") -> bytes:
    """An .ods with these tables in its content."""
    content = (
        f'<?xml version="1.0" encoding="UTF-8"?>{doctype}<office:document-content {_NAMESPACES} office:version="1.2">'
        f"<office:automatic-styles>{styles}</office:automatic-styles>"
        f"<office:body><office:spreadsheet>{''.join(tables)}</office:spreadsheet></office:body>"
        "</office:document-content>"
    )
    return archived(
        {
            "mimetype": b"application/vnd.oasis.opendocument.spreadsheet",
            "content.xml": content.encode(),
            "META-INF/manifest.xml": manifest.encode(),
        }
    )


def written(folder: Path, content: bytes, name: str) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


_USUAL = WorkbookOptions()


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One workbook, and what comes of it.

    Args:
        says: the case as a sentence; a test's name.
        content: of the file.
        rows: (prompt, everything else that the row says) in order; None where the file is refused.
        warnings: a part of each sentence, in order.
        refused: a part of the sentence, beginning with the cell where there is one.
    """

    says: str
    content: bytes | Callable[[], bytes]
    rows: Sequence[tuple[str, Mapping[str, Any]]] | None = None
    warnings: Sequence[str] = ()
    refused: str | None = None
    options: WorkbookOptions = _USUAL
    name: str = "p.xlsx"
    approved_only: bool = False


def check(case: Case, folder: Path) -> None:
    """Read the case's file and compare.

    Raises:
        AssertionError: it ends otherwise.
    """
    content = case.content if isinstance(case.content, bytes) else case.content()
    path = written(folder, content, case.name)
    try:
        found = read_prompts(path, approved_only=case.approved_only, workbook=case.options)
    except BadInput as failure:
        said = str(failure)
        assert "\n" not in said
        assert case.refused is not None, said
        assert case.refused in said, said
        assert case.refused.partition("!")[1] == "" or said.startswith(case.refused.partition(":")[0]), said
        return
    assert case.refused is None, f"it was read: {list(found)}"
    assert [(row.prompt, told(row)) for row in found] == [(prompt, dict(rest)) for prompt, rest in case.rows or ()]
    assert len(found.warnings) == len(case.warnings), found.warnings
    for said, expected in zip(found.warnings, case.warnings, strict=True):
        assert expected in said


def told(row: PromptRow) -> dict[str, Any]:
    """Everything that a row says beside its prompt and its place."""
    words = {name: getattr(row, name) for name in ("index", "theme", "variation", "character", "provider", "model")}
    return {name: text for name, text in words.items() if text is not None} | dict(row.settings) | dict(row.extra)
