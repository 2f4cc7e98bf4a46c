"""The programs that write workbooks, each given the same table: two libraries here, three programs where installed."""

import csv
import io
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import openpyxl
import xlsxwriter

Table = Sequence[Sequence[str]]
#: SheetJS is no package of this machine's system: npm brings it where a test asks for it.
SHEETJS = "xlsx@0.18.5"
_SHEETJS_SCRIPT = """
const XLSX = require("xlsx"), fs = require("fs");
const rows = JSON.parse(fs.readFileSync(process.argv[2], "utf8"));
const book = XLSX.utils.book_new();
XLSX.utils.book_append_sheet(book, XLSX.utils.aoa_to_sheet(rows), "Prompts");
XLSX.writeFile(book, process.argv[3]);
"""


def by_openpyxl(table: Table, path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    sheet.title = "Prompts"
    for row in table:
        sheet.append([None if cell == "" else cell for cell in row])
    book.save(path)


def by_xlsxwriter(table: Table, path: Path) -> None:
    options = {"strings_to_numbers": True, "strings_to_formulas": False, "strings_to_urls": False}
    with xlsxwriter.Workbook(str(path), options) as book:
        sheet = book.add_worksheet("Prompts")
        for number, row in enumerate(table):
            sheet.write_row(number, 0, row)


def by_libreoffice(table: Table, path: Path) -> None:
    """LibreOffice without a window; told the encoding, since it would take UTF-8 for Western."""
    source = _as_csv(table, path)
    profile = f"-env:UserInstallation=file://{path.parent}/profile"
    kinds = {".xlsx": "xlsx:Calc MS Excel 2007 XML", ".ods": "ods"}
    reading = "--infilter=Text - txt - csv (StarCalc):44,34,76,1"
    where = ("--outdir", str(path.parent), str(source))
    _run(["soffice", profile, "--headless", reading, "--convert-to", kinds[path.suffix], *where])


def separated_by_libreoffice(book: Path, path: Path) -> None:
    """The sheet of a workbook as LibreOffice saves it as text, in UTF-8: .csv, or .tsv with tabulators."""
    profile = f"-env:UserInstallation=file://{path.parent}/profile"
    separator = {".csv": 44, ".tsv": 9}[path.suffix]
    kind = f"{path.suffix[1:]}:Text - txt - csv (StarCalc):{separator},34,76,1"
    folder = path.parent / f"as{path.suffix}"
    _run(["soffice", profile, "--headless", "--convert-to", kind, "--outdir", str(folder), str(book)])
    (folder / f"{book.stem}{path.suffix}").replace(path)


def opened_by_libreoffice(source: Path, path: Path) -> None:
    """What LibreOffice makes of a workbook or a CSV file in UTF-8, saved as .ods."""
    profile = f"-env:UserInstallation=file://{path.parent}/profile"
    reading = ["--infilter=Text - txt - csv (StarCalc):44,34,76,1"] if source.suffix == ".csv" else []
    folder = path.parent / "as.ods"
    _run(["soffice", profile, "--headless", *reading, "--convert-to", "ods", "--outdir", str(folder), str(source)])
    (folder / f"{source.stem}.ods").replace(path)


def by_gnumeric(table: Table, path: Path) -> None:
    _run(["ssconvert", "--import-encoding=UTF-8", str(_as_csv(table, path)), str(path)])


def by_sheetjs(table: Table, path: Path) -> None:
    folder = path.parent / "sheetjs"
    folder.mkdir(exist_ok=True)
    if not (folder / "node_modules").exists():
        _run(["npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder), SHEETJS])
    (folder / "write.js").write_text(_SHEETJS_SCRIPT, encoding="utf-8")
    (folder / "rows.json").write_text(json.dumps(table), encoding="utf-8")
    _run(["node", str(folder / "write.js"), str(folder / "rows.json"), str(path)])


WRITERS: dict[str, tuple[Callable[[Table, Path], None], str]] = {
    "openpyxl": (by_openpyxl, ".xlsx"),
    "XlsxWriter": (by_xlsxwriter, ".xlsx"),
    "LibreOffice .xlsx": (by_libreoffice, ".xlsx"),
    "LibreOffice .ods": (by_libreoffice, ".ods"),
    "Gnumeric .xlsx": (by_gnumeric, ".xlsx"),
    "Gnumeric .ods": (by_gnumeric, ".ods"),
    "SheetJS .xlsx": (by_sheetjs, ".xlsx"),
    "SheetJS .ods": (by_sheetjs, ".ods"),
}


def _as_csv(table: Table, path: Path) -> Path:
    source = path.with_suffix(".csv")
    file = io.StringIO()
    csv.writer(file).writerows(table)
    source.write_text(file.getvalue(), encoding="utf-8")
    return source


def _run(command: Sequence[str]) -> None:
    program = shutil.which(command[0])
    assert program is not None, f"{command[0]} is not installed; .ci/run installs it"
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "HOME": os.environ.get("HOME", "/root")}
    done = subprocess.run(
        [program, *command[1:]], capture_output=True, text=True, timeout=150, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr[-500:]
