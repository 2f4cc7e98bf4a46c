"""What exported pictures are called: a template of theme, variation, row and others, as names that any system takes.

A picture keeps its name when the export runs again: names depend on the rows of the batch and not on how far it is.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from string import Formatter
from typing import Final

from domain.errors import BadInput

#: Characters that some file system, shell or user cannot handle in a file name.
_UNFIT: Final = re.compile(r"[^\w.()+-]+")
#: Windows takes these for devices, with any ending, and opens no such file or folder.
_DEVICE: Final = re.compile(r"(con|prn|aux|nul|(?:com|lpt)[0-9¹²³])(\..*)?", re.IGNORECASE)
#: File systems allow 255 bytes; an ending, a number, and the mark of an unfinished file come on top.
_LONGEST_BYTES: Final = 160
_LONGEST_VALUE: Final = 80

FIELDS: Final = ("batch", "row", "index", "theme", "variation", "provider", "model", "seed", "picture", "id")
DEFAULT_TEMPLATE: Final = "{theme}/{variation}/{batch}-{row}"


class ExportNames:
    """The paths of a batch's pictures below the folder of the export; no two are the same, on any file system.

    Args:
        template: such as `{theme}_{variation}_{row}`; `/` separates folders, and a part without content is left out.
        rows: every generation of the batch: its `FIELDS` but `picture`, of which `id` and `row` are its alone.

    Raises:
        BadInput: the template has a field that there is not, or names no file.
    """

    def __init__(self, template: str, rows: Iterable[Mapping[str, str]]) -> None:
        self._parts = _parsed(template)
        self._by_picture = any(name == "picture" for part in self._parts for _, name in part)
        self._shared = Counter(_same(self._bare(row, "")) for row in rows)
        self._taken: set[str] = set()

    def path(self, row: Mapping[str, str], picture: str | None = None) -> PurePosixPath:
        """The path of a picture, without ending; to be asked once per picture.

        Args:
            picture: its number, where a generation has several to export.
        """
        bare = self._bare(row, picture or "")
        more = f"-{row['row']}" if self._shared[_same(self._bare(row, ""))] > 1 else ""
        if picture is not None and not self._by_picture:
            more += f"-{picture}"
        path = bare.with_name(bare.name + more)
        if _same(path) in self._taken:
            path = path.with_name(f"{path.name}-{row['id']}")
        self._taken.add(_same(path))
        return path

    def _bare(self, row: Mapping[str, str], picture: str) -> PurePosixPath:
        values = {**row, "picture": picture}
        *folders, name = (_filled(part, values) for part in self._parts)
        return PurePosixPath(*(fit_name(one) for one in folders if one), fit_name(name))


def fit_name(name: str) -> str:
    """`name` as a path component that is safe on any system: not empty, not hidden, without separators."""
    fit = _UNFIT.sub("-", unicodedata.normalize("NFC", name)).strip("-. ")
    fit = fit.encode()[:_LONGEST_BYTES].decode(errors="ignore").rstrip("-. ") or "unnamed"
    return _DEVICE.sub(r"\1-\2", fit) if _DEVICE.fullmatch(fit) else fit


def _filled(part: list[tuple[str, str | None]], values: Mapping[str, str]) -> str:
    """The part with its values; where one is empty, the signs that would have separated it go too."""
    text, missing = "", False
    for before, name in part:
        value = "" if name is None else values[name]
        missing |= name is not None and not value
        text += before + (fit_name(value)[:_LONGEST_VALUE] if value else "")
    return re.sub(r"([-_. ])[-_. ]+", r"\1", text).strip("-_. ") if missing else text


def _parsed(template: str) -> list[list[tuple[str, str | None]]]:
    """The template's parts, each as pairs of a text and the field behind it."""
    try:
        parts = [list(Formatter().parse(part)) for part in template.split("/")]
    except ValueError as failure:
        raise BadInput(f"{template!r} is no template of names: {failure}") from None
    odd = [
        name + (f"!{kind}" if kind else "") + (f":{spec}" if spec else "")
        for part in parts
        for _, name, spec, kind in part
        if name is not None and (name not in FIELDS or spec or kind)
    ]
    if odd or not parts[-1]:
        what = f"has {{{odd[0]}}}" if odd else "names no file"
        raise BadInput(f"the template {template!r} {what}; it may have {', '.join(f'{{{one}}}' for one in FIELDS)}")
    return [[(before, name) for before, name, _, _ in part] for part in parts]


def _same(path: PurePosixPath) -> str:
    """What two paths share that are one file on a file system that tells no case and no form of Unicode."""
    return unicodedata.normalize("NFKC", str(path)).casefold()
