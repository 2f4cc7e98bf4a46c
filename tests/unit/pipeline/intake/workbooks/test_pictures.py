"""Pictures in and over the cells of workbooks: each is its row's reference, or is named or refused with its cell."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pytest
import xlsxwriter
from openpyxl.drawing.image import Image as SheetImage
from openpyxl.worksheet.worksheet import Worksheet
from PIL import Image

from domain.errors import BadInput
from domain.ids import sha256
from domain.stored_pictures import stored_address, stored_picture, with_stored
from pipeline.intake.prompt_file import read_prompts
from pipeline.intake.row_inputs import RowInputs
from pipeline.intake.workbooks.choose import WorkbookOptions
from pipeline.preparing.input_pictures import MOST_BYTES, PREFIX, cleaned
from storage.picture_keys import key_of
from tests.support.workbooks import Case, archived, check, edited, ods, ods_row, ods_table, told, written, xlsx


def png(colour: str = "red", *, size: tuple[int, int] = (8, 8)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "PNG")
    return file.getvalue()


RED, BLUE = png(), png("blue")
GPS = 0x8825


def address(content: bytes = RED) -> str:
    """What a row says that takes this picture along."""
    key = key_of(cleaned(content, name="x").content, ending="jpg", prefix=PREFIX)
    return stored_address(key, origin=sha256(content))


def over(*pictures: tuple[str, bytes], column: str = "cref_urls", row: tuple[Any, ...] = ("a pig", None)) -> bytes:
    """A workbook of openpyxl with pictures over cells."""

    def fill(_book: openpyxl.Workbook, sheet: Worksheet) -> None:
        sheet.append(["prompt", column])
        sheet.append(row)
        for cell, content in pictures:
            sheet.add_image(SheetImage(io.BytesIO(content)), cell)

    return xlsx(fill)


def inside(
    write: Callable[[xlsxwriter.Workbook, Any], object], *, column: str = "cref_urls", second: str = "a cat"
) -> bytes:
    """A workbook of XlsxWriter, which writes pictures into cells as Excel does."""
    file = io.BytesIO()
    with xlsxwriter.Workbook(file) as book:
        sheet = book.add_worksheet("Prompts")
        sheet.write_row(0, 0, ["prompt", column])
        sheet.write_column(1, 0, ["a pig", second])
        write(book, sheet)
    return file.getvalue()


def embedded(column: str = "cref_urls", **cells: bytes) -> bytes:
    def write(_book: object, sheet: Any) -> None:
        for cell, content in cells.items():
            sheet.embed_image(cell, f"{cell}.png", {"image_data": io.BytesIO(content)})

    return inside(write, column=column)


def framed(frame: str, *, column: str = "cref_urls", **parts: bytes) -> bytes:
    """An .ods with a frame in B2."""
    content = ods(
        ods_table(ods_row("prompt", column), ods_row("a pig", f"<table:table-cell>{frame}</table:table-cell>"))
    )
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        every = {name: archive.read(name) for name in archive.namelist()}
    return archived(every | {f"Pictures/{name}.png": part for name, part in parts.items()})


def frame(*parts: str) -> str:
    images = "".join(f'<draw:image xlink:href="{part}"/>' for part in parts)
    return f"<draw:frame>{images}</draw:frame>"


def merged(_book: openpyxl.Workbook, sheet: Worksheet) -> None:
    for row in (["prompt", "sref"], ["a pig", None], ["a cat", None]):
        sheet.append(row)
    sheet.add_image(SheetImage(io.BytesIO(RED)), "B2")
    sheet.merge_cells("B2:B3")


def _pig(**settings: str) -> list[tuple[str, dict[str, str]]]:
    return [("a pig", settings)]


CASES = [
    Case(
        says="a picture over a cell of a reference column",
        content=over(("B2", RED)),
        rows=_pig(cref_urls=address()),
        warnings=["Prompts!B2: a picture goes along as cref_urls"],
    ),
    *(
        Case(
            says=f"a picture over a cell of {written_as}",
            content=over(("B2", RED), column=written_as),
            rows=_pig(**{column: address()}),
            warnings=[f"Prompts!B2: a picture goes along as {column}"],
        )
        for written_as, column in (
            ("sref", "sref"),
            ("oref", "oref_url"),
            ("image_urls", "image_urls"),
            ("cref", "cref_urls"),
        )
    ),
    Case(
        says="two pictures over a cell",
        content=over(("B2", RED), ("B2", BLUE)),
        rows=_pig(cref_urls=f"{address(RED)} {address(BLUE)}"),
        warnings=["Prompts!B2: a picture goes along as cref_urls"],
    ),
    Case(
        says="a picture beside an address",
        content=over(("B2", RED), row=("a pig", "https://img.example/one.png")),
        rows=_pig(cref_urls="https://img.example/one.png"),
        warnings=["Prompts!B2: pictures steer nothing here"],
    ),
    Case(
        says="a picture over the prompt",
        content=over(("A2", RED)),
        rows=_pig(),
        warnings=["Prompts!A2: pictures steer nothing here"],
    ),
    Case(says="a picture in the column for pictures", content=over(("B2", RED), column="picture"), rows=_pig()),
    Case(
        says="a picture in a column that looks like one for references",
        content=over(("B2", RED), column="reference"),
        refused="Prompts!B2: 'reference' holds a picture and steers nothing; call the column 'cref_urls'",
    ),
    Case(
        says="pictures in cells",
        content=embedded(B2=RED, B3=BLUE),
        rows=[("a pig", {"cref_urls": address(RED)}), ("a cat", {"cref_urls": address(BLUE)})],
        warnings=["Prompts!B2, Prompts!B3: a picture goes along as cref_urls"],
    ),
    Case(
        says="a picture in a cell of another column",
        content=embedded("look", B2=RED),
        rows=[("a pig", {}), ("a cat", {})],
        warnings=["Prompts!B2: pictures steer nothing here"],
    ),
    Case(
        says="an error with a rich value is an error",
        content=edited(
            embedded(B2=RED), {"xl/richData/rdrichvaluestructure.xml": lambda text: text.replace("_rvRel", "_no")}
        ),
        refused="Prompts!B2: 'cref_urls' holds the error #VALUE!",
    ),
    Case(
        says="a picture in a merged cell that is filled down",
        content=xlsx(merged),
        options=WorkbookOptions(fill_merged=True),
        rows=[("a pig", {"sref": address()}), ("a cat", {"sref": address()})],
        warnings=["Prompts!B2, Prompts!B3: a picture goes along as sref"],
    ),
    Case(
        says="a picture that is only linked",
        content=edited(
            over(("B2", RED)),
            {"xl/drawings/_rels/drawing1.xml.rels": lambda text: text.replace("/>", ' TargetMode="External"/>')},
        ),
        refused="Prompts!B2: 'cref_urls' holds a picture, which is not sent: the picture lies elsewhere",
    ),
    Case(
        says="an .ods with a picture",
        name="p.ods",
        content=framed(frame("Pictures/1.png"), **{"1": RED}),
        rows=_pig(cref_urls=address()),
        warnings=["Prompts!B2: a picture goes along as cref_urls"],
    ),
    Case(
        says="an .ods with a drawing and what stands in for it",
        name="p.ods",
        content=framed(frame("Pictures/1.svg", "./Pictures/1.png"), **{"1": RED}),
        rows=_pig(cref_urls=address()),
        warnings=["Prompts!B2: a picture goes along as cref_urls"],
    ),
    Case(
        says="an .ods with a picture over another column",
        name="p.ods",
        content=framed(frame("Pictures/1.png"), column="look", **{"1": RED}),
        rows=_pig(),
        warnings=["Prompts!B2: pictures steer nothing here"],
    ),
    *(
        Case(
            says=f"an .ods with a picture at {where}",
            name="p.ods",
            content=framed(frame(where)),
            refused="Prompts!B2: 'cref_urls' holds a picture, which is not sent: the picture lies elsewhere",
        )
        for where in ("https://img.example/1.png", "../../etc/passwd", "/etc/passwd", "Pictures/gone.png")
    ),
    Case(
        says="an .ods with a chart",
        name="p.ods",
        content=framed('<draw:frame><draw:object xlink:href="./Object 1"/><draw:image xlink:href="x"/></draw:frame>'),
        rows=_pig(),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.says)
def test_a_picture(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


def _with_media(content: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(over(("B2", RED)))) as archive:
        every = {name: archive.read(name) for name in archive.namelist()}
    return archived(every | {"xl/media/image1.png": content})


def _huge() -> bytes:
    return png(size=(8000, 6000))


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"<svg/>", "cannot be used"), (RED[:40], "cannot be used"), (_huge(), "40,000,000 pixels")],
    ids=["no picture", "cut off", "too many pixels"],
)
def test_a_picture_that_cannot_be_used_is_refused_with_its_cell(content: bytes, why: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"^Prompts!B2: 'cref_urls' holds a picture, which is not sent") as refused:
        read_prompts(written(tmp_path, _with_media(content), "p.xlsx"))
    assert why in str(refused.value)


def test_a_picture_of_too_many_bytes_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = written(tmp_path, _with_media(bytes(MOST_BYTES + 1)), "p.xlsx")
    with pytest.raises(BadInput, match="has 20,971,521 bytes, and 20,971,520 is the most that is read"):
        read_prompts(path)


def test_one_picture_in_many_cells_is_kept_once_and_without_where_it_was_taken(tmp_path: Path) -> None:
    file = io.BytesIO()
    exif = Image.Exif()
    exif[GPS] = {1: "N", 2: (1.0, 2.0, 3.0)}
    Image.new("RGB", (8, 8), "red").save(file, "JPEG", exif=exif)
    found = read_prompts(written(tmp_path, embedded(B2=file.getvalue(), B3=file.getvalue()), "p.xlsx"))
    assert len({told(row)["cref_urls"] for row in found}) == 1
    assert found.workbook is not None
    assert len(found.workbook.pictures) == 1
    stored = stored_picture(str(found[0].settings["cref_urls"]))
    assert stored is not None
    assert stored.key in found.workbook.pictures
    kept = found.workbook.pictures.content(stored.key)
    assert (sha256(kept), b"Exif" in kept) == (stored.sha256, False)


def test_a_picture_over_the_column_of_what_is_handed_in_is_that_rows_picture(tmp_path: Path) -> None:
    (row,) = read_prompts(written(tmp_path, over(("B2", RED), column="image"), "p.xlsx"))
    wishes = RowInputs(folder=None, files={}).read(row.preparation)
    stored = stored_picture(address())
    assert stored is not None
    assert wishes["image"] == stored.key


def test_an_address_of_the_store_is_found_wherever_a_setting_holds_it() -> None:
    one, other = address(RED), address(BLUE)
    said = with_stored({"cref_urls": 1}, str.upper)
    assert said == {"cref_urls": 1}
    assert with_stored(f"123::2 {one}::3 {other}", lambda url: "A" if url == one else "B") == "123::2 A::3 B"
    assert with_stored([one, "https://img.example/x.png"], lambda _: "A") == ["A", "https://img.example/x.png"]
    assert stored_picture(one.replace("inputs/", "inputs/../")) is None
