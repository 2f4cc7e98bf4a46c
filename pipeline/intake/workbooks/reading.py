"""A prompt file that is a workbook: recognised by its content, opened, its table chosen and read.

The name of a file is not believed: a CSV called .xlsx and a workbook called .csv are both refused, since whoever named
them so will meet the next program with the same mistake.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final

from domain.errors import BadInput
from pipeline.intake.workbooks.choose import WorkbookOptions, choose
from pipeline.intake.workbooks.contract import Damaged
from pipeline.intake.workbooks.ods import OdsWorkbook
from pipeline.intake.workbooks.package import Package, refusing
from pipeline.intake.workbooks.pictures import WorkbookPictures
from pipeline.intake.workbooks.table import Table
from pipeline.intake.workbooks.xlsx import XlsxWorkbook

READ: Final = frozenset({".xlsx", ".xlsm", ".ods"})
_NOT_READ: Final = frozenset({".xls", ".xlsb", ".xlt", ".xltx", ".ots", ".fods", ".numbers", ".gnumeric"})
_ZIP: Final = (b"PK\x03\x04", b"PK\x05\x06")
_OLE: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
#: BIFF 2 to 4, from before there were compound files.
_OLD_BIFF: Final = (b"\x09\x00\x04\x00", b"\x09\x02\x06\x00", b"\x09\x04\x06\x00")
_LOCKED: Final = "EncryptedPackage".encode("utf-16-le")
_ODS: Final = b"application/vnd.oasis.opendocument.spreadsheet"
_SAVE: Final = "save it as .xlsx or .ods"


def is_workbook(head: bytes, path: Path) -> bool:
    """Whether the file is one, or is at least called so.

    Args:
        head: its first bytes.
    """
    called = path.suffix.lower() in READ | _NOT_READ
    return called or head.startswith((*_ZIP, _OLE, *_OLD_BIFF))


class WorkbookFile:
    """The table of prompts in a workbook.

    Raises:
        BadInput: it cannot be read, or it is not clear which table is meant.
    """

    def __init__(self, source: BinaryIO, *, path: Path, name: str, options: WorkbookOptions) -> None:
        self._name = name
        _refuse_others(source, path=path, name=name)
        with refusing(name):
            package = Package(source)
            self._book = _opened(package, name=name)
            self.pictures = WorkbookPictures(package)
            try:
                chosen = choose(self._book.sheets, options, name=name)
                self._table = Table(chosen, options, name=name, pictures=self.pictures)
            except BaseException:
                self._book.close()
                raise

    @property
    def columns(self) -> Sequence[str]:
        return self._table.columns

    @property
    def warnings(self) -> Sequence[str]:
        """What is half understood or was passed over; complete when all rows were taken."""
        return [*self._table.passed_over, *self._table.notices.sentences()]

    @property
    def notes(self) -> Sequence[str]:
        """Which pictures go along; complete when all rows were taken."""
        return self._table.taken.sentences()

    def rows(self) -> Iterator[tuple[int, dict[str, str]]]:
        """Rows as (line, cells by column).

        Raises:
            BadInput: the file or a cell cannot be read.
        """
        try:
            with refusing(self._name):
                yield from self._table.rows()
        finally:
            self._book.close()

    def located(self, failure: BadInput, column: str | None = None) -> BadInput:
        """The refusal of a row, with its cell instead of its line."""
        if failure.line is None or failure.cell is not None:
            return failure
        return BadInput(failure.sentence, line=failure.line, cell=self._table.where(failure.line, column))


def _refuse_others(source: BinaryIO, *, path: Path, name: str) -> None:
    """Refuse what is no workbook that is read.

    Raises:
        BadInput: with what it is, as far as its first bytes tell, and what to do.
    """
    source.seek(0)
    head = source.read(1 << 16)
    suffix = path.suffix.lower()
    if not head.strip():
        raise BadInput(f"{name!r} is empty; write a header with a column 'prompt' and one row a prompt")
    if head.startswith(_OLE):
        rest = head + source.read(1 << 22)
        if _LOCKED in rest:
            raise BadInput(f"{name!r} is locked with a password; save it without one")
        raise BadInput(f"{name!r} is a workbook of the old kind (.xls), which is not read; {_SAVE}")
    if head.startswith(_OLD_BIFF):
        raise BadInput(f"{name!r} is a workbook of the old kind (.xls), which is not read; {_SAVE}")
    if suffix in _NOT_READ:
        raise BadInput(f"{name!r} is a workbook of a kind that is not read; {_SAVE}")
    if not head.startswith(_ZIP):
        what = (
            "HTML or XML" if head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<") else "text or something else"
        )
        raise BadInput(
            f"{name!r} is called {suffix} and is no workbook but {what}; if it is a CSV, rename it to .csv,"
            f" else {_SAVE}"
        )
    if suffix and suffix not in READ:
        raise BadInput(f"{name!r} is a workbook, whatever its name says; rename it to .xlsx or .ods, as it was saved")


def _opened(package: Package, *, name: str) -> XlsxWorkbook | OdsWorkbook:
    if package.has("mimetype"):
        kind = package.content("mimetype").strip()
        if kind.startswith(_ODS) and b"template" not in kind:
            return OdsWorkbook(package)
        raise BadInput(f"{name!r} is no spreadsheet but {kind[:80].decode(errors='replace')!r}; {_SAVE}")
    if package.has("xl/workbook.bin"):
        raise BadInput(f"{name!r} is a binary workbook (.xlsb), which is not read; {_SAVE}")
    if package.has("content.xml"):
        return OdsWorkbook(package)
    if package.has("[Content_Types].xml") and not package.has("word/document.xml"):
        return XlsxWorkbook(package)
    if package.has("Index/Document.iwa"):
        raise BadInput(f"{name!r} is a workbook of Numbers, which is not read; export it as Excel")
    raise Damaged("it is an archive without a workbook in it")
