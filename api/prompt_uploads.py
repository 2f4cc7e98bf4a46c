"""Files of prompts that are sent instead of a JSON document: their kinds, and their rows."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pipeline.intake.prompt_file import read_prompts
from pipeline.intake.prompt_rows import PromptRows
from pipeline.intake.workbooks.choose import WorkbookOptions

#: Endings by media type; the ending says how a file is read.
ENDINGS: Final[Mapping[str, str]] = {
    "text/csv": ".csv",
    "text/tab-separated-values": ".tsv",
    "application/x-ndjson": ".jsonl",
    "text/plain": ".txt",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ".xlsx",
    "application/vnd.ms-excel.sheet.macroenabled.12": ".xlsm",
    "application/vnd.oasis.opendocument.spreadsheet": ".ods",
}
#: What the page takes besides, by its ending.
ON_THE_PAGE: Final[Mapping[str, str]] = {
    **{ending[1:]: ending for ending in ENDINGS.values()},
    "json": ".json",
    "ndjson": ".jsonl",
}


def rows_in(body: bytes, *, ending: str, sheet: str | None = None) -> PromptRows:
    """The rows of a file that was sent; raises `BadInput` where it cannot be read, and returns nothing in part.

    Args:
        sheet: of a workbook, where several have a column of prompts.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"prompts{ending}"
        path.write_bytes(body)
        return read_prompts(path, workbook=WorkbookOptions(sheet=sheet))
