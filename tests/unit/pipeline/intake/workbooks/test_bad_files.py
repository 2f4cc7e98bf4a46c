"""Files that are no whole workbook, or mean harm: one sentence each, and nothing is read of them."""

import io
import random
import re
import struct
import tracemalloc
import zipfile
from pathlib import Path

import pytest
import xlsxwriter

from domain.errors import BadInput
from pipeline.intake.prompt_file import read_prompts
from tests.support.workbooks import SHEET, Case, archived, check, edited, ods, ods_row, ods_table, rows, written, xlsx


def _rich() -> bytes:
    """A workbook with shared texts, runs, links, merged cells, a declared table, formats and a hidden row."""
    file = io.BytesIO()
    with xlsxwriter.Workbook(file) as book:
        sheet = book.add_worksheet("Prompts")
        struck = book.add_format({"font_strikeout": True})
        sheet.write_row(0, 0, ["prompt", "theme", "ar", "cref_urls", "due"])
        for line in range(1, 6):
            sheet.write_row(line, 0, [f"a pig {line}", "sea"])
            sheet.write_number(line, 2, 969 / 1440, book.add_format({"num_format": "hh:mm"}))
            sheet.write_url(line, 3, f"https://img.example/{line}.png", string="hat")
            sheet.write_number(line, 4, 46_000 + line, book.add_format({"num_format": "yyyy-mm-dd"}))
        sheet.write_rich_string("A7", "a ", struck, "pig", " more")
        sheet.merge_range("J2:J3", "town")
        sheet.add_table("A1:E7", {"name": "Batch", "columns": [{"header": name} for name in _COLUMNS]})
        sheet.set_row(4, None, None, {"hidden": True})
        sheet.set_column(6, 7, None, None, {"hidden": True})
        book.add_worksheet("Notes").write(0, 0, "nothing")
    return file.getvalue()


_COLUMNS = ("prompt", "theme", "ar", "cref_urls", "due")
WHOLE = xlsx(rows(["prompt", "theme", "ar"], ["a pig", "sea", "16:9"], ["a hat", "town", "1:1"]))
WHOLE_RICH = _rich()
WHOLE_ODS = ods(ods_table(ods_row("prompt", "theme"), ods_row("a pig", "sea"), ods_row("a hat", "town")))
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(1000)
_NO_ENCODING = '<?xml version="1.0" encoding="UTF-9999999998"?>'
_ENTITY = '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>'


def _without(name: str) -> bytes:
    with zipfile.ZipFile(io.BytesIO(WHOLE)) as archive:
        return archived({one: archive.read(one) for one in archive.namelist() if one != name})


def _bomb() -> bytes:
    return edited(WHOLE, {SHEET: lambda text: text.replace("</sheetData>", " " * (40 << 20) + "</sheetData>")})


def _huge_row() -> bytes:
    noise = "".join(f"<x{number}/>" for number in range(700_000))
    return edited(WHOLE, {SHEET: lambda text: text.replace("</row></sheetData>", f"{noise}</row></sheetData>")})


def _many_parts() -> bytes:
    return archived({f"part{number:06d}.xml": b"" for number in range(70_000)})


def _locked_part() -> bytes:
    content = bytearray(WHOLE)
    at = -1
    while (at := content.find(b"PK\x01\x02", at + 1)) >= 0:
        content[at + 8] |= 1
    return bytes(content)


def _strange_method() -> bytes:
    content = bytearray(WHOLE)
    at = -1
    while (at := content.find(b"PK\x01\x02", at + 1)) >= 0:
        struct.pack_into("<H", content, at + 10, 97)
    return bytes(content)


def _outside_links() -> bytes:
    relation = (
        '<Relationship Id="rId9" Type="http://x/externalLink" TargetMode="External" Target="file:///etc/passwd"/>'
    )
    return edited(
        WHOLE,
        {"xl/_rels/workbook.xml.rels": lambda text: text.replace("</Relationships>", f"{relation}</Relationships>")},
    )


def _macros() -> bytes:
    return edited(WHOLE, {"xl/vbaProject.bin": lambda _text: "Sub Auto_Open()"})


CASES = [
    Case(says="nothing at all", content=b"", refused="'p.xlsx' is empty"),
    Case(
        says="a CSV that is called a workbook", content=b"prompt\na pig\n", refused="if it is a CSV, rename it to .csv"
    ),
    Case(says="a workbook that is called a CSV", content=WHOLE, name="p.csv", refused="whatever its name says; rename"),
    Case(says="a page that is called a workbook", content=b"<html><table>", refused="no workbook but HTML or XML"),
    Case(
        says="an .xls",
        content=_OLE,
        name="p.xls",
        refused="of the old kind (.xls), which is not read; save it as .xlsx",
    ),
    Case(says="an .xls that is called .xlsx", content=_OLE, refused="of the old kind (.xls)"),
    Case(says="an .xls of 1990", content=b"\x09\x04\x06\x00" + bytes(100), refused="of the old kind (.xls)"),
    Case(
        says="a password",
        content=_OLE + "EncryptedPackage".encode("utf-16-le"),
        refused="'p.xlsx' is locked with a password; save it without one",
    ),
    Case(says="a part that is locked", content=_locked_part, refused="locked with a password"),
    Case(says="a binary workbook", content=archived({"xl/workbook.bin": b"x"}), refused="a binary workbook (.xlsb)"),
    Case(
        says="a text document",
        content=archived({"[Content_Types].xml": b"<x/>", "word/document.xml": b"<x/>"}),
        refused="an archive without a workbook",
    ),
    Case(
        says="an .odt",
        content=archived({"mimetype": b"application/vnd.oasis.opendocument.text"}),
        name="p.ods",
        refused="is no spreadsheet but 'application/vnd.oasis.opendocument.text'",
    ),
    Case(
        says="Numbers",
        content=archived({"Index/Document.iwa": b"x"}),
        name="p.numbers",
        refused="of a kind that is not",
    ),
    Case(says="any archive", content=archived({"a.txt": b"x"}), refused="an archive without a workbook"),
    Case(says="half of a workbook", content=WHOLE[: len(WHOLE) // 2], refused="its end is missing"),
    Case(says="all but the end", content=WHOLE[:-1], refused="is no whole workbook"),
    Case(says="without its sheet", content=_without(SHEET), refused=f"its part '{SHEET}' is missing"),
    Case(
        says="without its list of sheets", content=_without("xl/workbook.xml"), refused="'xl/workbook.xml' is missing"
    ),
    Case(
        says="a sheet that is no XML",
        content=edited(WHOLE, {SHEET: lambda text: text.replace("<sheetData>", "<sheetData><row")}),
        refused="its XML is broken",
    ),
    Case(
        says="a sheet that breaks off",
        content=edited(WHOLE, {SHEET: lambda text: text[: text.index("</sheetData>")]}),
        refused="the rows of a sheet do not end",
    ),
    Case(
        says="rows that run backwards",
        content=edited(WHOLE, {SHEET: lambda text: text.replace('<row r="3">', '<row r="1">')}),
        refused="row 1 comes after row 2",
    ),
    Case(
        says="a sheet in another encoding",
        content=edited(WHOLE, {SHEET: lambda text: '<?xml version="1.0" encoding="ISO-8859-1"?>' + text}),
        refused="is written in ISO-8859-1, not in UTF-8",
    ),
    Case(
        says="an encoding that there is not",
        content=edited(WHOLE, {"xl/workbook.xml": lambda text: _NO_ENCODING + re.sub(r"^<\?xml[^>]*\?>\s*", "", text)}),
        refused="its XML names an unknown encoding: UTF-9999999998",
    ),
    Case(
        says="entities in a sheet",
        content=edited(WHOLE, {SHEET: lambda text: _ENTITY + text.replace("a pig", "&b;")}),
        refused="it declares a document type",
    ),
    Case(
        says="entities in the list of sheets",
        content=edited(WHOLE, {"xl/workbook.xml": lambda text: _ENTITY + text}),
        refused="it declares a document type",
    ),
    Case(says="a bomb", content=_bomb, refused="times its size, and 300 is the most that is read"),
    Case(says="a row without an end", content=_huge_row, refused="a single row or text of it has more than 4,194,304"),
    Case(says="seventy thousand parts", content=_many_parts, refused="parts"),
    Case(says="a packing that no spreadsheet uses", content=_strange_method, refused="packed in a way"),
    Case(
        says="links to other files are not followed",
        content=_outside_links,
        rows=[("a pig", {"theme": "sea", "aspect_ratio": "16:9"}), ("a hat", {"theme": "town", "aspect_ratio": "1:1"})],
    ),
    Case(
        says="macros are not run",
        content=_macros,
        name="p.xlsm",
        rows=[("a pig", {"theme": "sea", "aspect_ratio": "16:9"}), ("a hat", {"theme": "town", "aspect_ratio": "1:1"})],
    ),
]


def test_the_whole_ones_are_read(tmp_path: Path) -> None:
    found = read_prompts(written(tmp_path, WHOLE_RICH, "p.xlsx"))
    assert [row.prompt for row in found] == ["a pig 1", "a pig 2", "a pig 3", "a pig 5", "a pig more"]
    assert found[0].settings == {"aspect_ratio": "16:9", "cref_urls": "https://img.example/1.png"}
    assert [said.partition(":")[0] for said in found.warnings] == ["Prompts!A5", "Prompts!A7"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.says)
def test_a_file(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


def _damaged(content: bytes, chance: random.Random) -> bytes:
    """The file with bytes changed, taken out, doubled or cut off; or one of its parts damaged and packed again."""
    harm = bytearray(content)
    match chance.randrange(5):
        case 0:
            for _ in range(chance.choice([1, 3, 20])):
                harm[chance.randrange(len(harm))] = chance.randrange(256)
        case 1:
            begin = chance.randrange(len(harm))
            del harm[begin : begin + chance.randrange(1, 400)]
        case 2:
            begin = chance.randrange(len(harm))
            harm[begin:begin] = harm[begin : begin + chance.randrange(1, 400)]
        case 3:
            del harm[chance.randrange(len(harm)) :]
        case _:
            return _damaged_part(content, chance)
    return bytes(harm)


def _damaged_part(content: bytes, chance: random.Random) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    name = chance.choice(sorted(one for one in parts if one.endswith((".xml", ".rels")) and parts[one]))
    part = bytearray(parts[name])
    for _ in range(chance.choice([1, 2, 8])):
        begin = chance.randrange(len(part) or 1)
        snippet = chance.choice(
            [b"", b"<", b"&", b'"', b"</row>", b"\xff", b"999999999", b"-1", b"\0", b"<c>", b"]]>", b"<!--", b"'"]
        )
        part[begin : begin + chance.randrange(12)] = snippet
    return archived(parts | {name: bytes(part)})


def _fuzz(count: int, *, seed: int, folder: Path) -> None:
    chance = random.Random(seed)
    read = 0
    said: list[str] = []
    tracemalloc.start()
    for _ in range(count):
        kind, whole = chance.choice([("xlsx", WHOLE), ("xlsx", WHOLE_RICH), ("ods", WHOLE_ODS)])
        path = written(folder, _damaged(whole, chance), f"p.{kind}")
        try:
            read_prompts(path)
            read += 1
        except BadInput as failure:
            said.append(str(failure))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert not [sentence for sentence in said if "\n" in sentence]
    assert (read + len(said), bool(said)) == (count, True)
    assert most < 64 << 20


def test_two_hundred_damaged_workbooks_make_no_trace(tmp_path: Path) -> None:
    _fuzz(200, seed=1, folder=tmp_path)


@pytest.mark.slow
def test_two_thousand_damaged_workbooks_make_no_trace(tmp_path: Path) -> None:
    _fuzz(2000, seed=2, folder=tmp_path)
