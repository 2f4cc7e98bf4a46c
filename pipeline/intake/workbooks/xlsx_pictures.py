"""Pictures of an .xlsx: those that lie over cells, anchored in a drawing, and those that are the value of a cell.

A value that is a picture is found in four steps: the cell's number leads to a rich value, that to a structure which
says what its fields mean, one of them to a relation, and that to the part. Source: [MS-XLSX], sections 2.2.4.4 to
2.2.4.7 and 2.3.6 (rich values), ECMA-376 part 1, 18.9 (metadata) and 20.5 (drawings).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Final

from pipeline.intake.workbooks.contract import TooLarge
from pipeline.intake.workbooks.package import Package, local, whole_number

_MOST: Final = 1_000_000
_RICH: Final = "XLRICHVALUE"
#: The field that leads to a picture which is stored here, and that of one which is fetched by =IMAGE().
_STORED: Final = "_rvRel:LocalImageIdentifier"
_FETCHED: Final = "WebImageIdentifier"
#: Relations by the last word of their types.
_METADATA, _VALUES, _STRUCTURES, _TARGETS = "sheetMetadata", "rdRichValue", "rdRichValueStructure", "richValueRel"

Relations = Mapping[str, tuple[str, str, bool]]


def over_cells(package: Package, part: str) -> Iterator[tuple[tuple[int, int], str]]:
    """The (line, column) under the upper left corner of each picture of a drawing, and the part that holds it.

    The part is "" for a picture that is only linked.
    """
    yield from _Drawing(package, part).found


class _Drawing:
    def __init__(self, package: Package, part: str) -> None:
        self._relations = package.relations(part)
        self._corner: dict[str, int] = {}
        self._texts: list[str] = []
        #: `from` and `pic`, while inside; a fallback says again what stands before it.
        self._inside: set[str] = set()
        self.found: list[tuple[tuple[int, int], str]] = []
        package.parse(part, start=self._start, end=self._end, text=self._texts.append)

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        name = local(tag)
        self._texts.clear()
        if name.endswith("Anchor"):
            self._corner.clear()
        elif name in {"from", "pic", "Fallback"}:
            self._inside.add(name)
        elif name == "blip" and "pic" in self._inside and "Fallback" not in self._inside and len(self._corner) == 2:
            spot = self._corner["row"] + 1, self._corner["col"]
            self.found.append((spot, _target(self._relations, _named(attributes, "embed"))))
            if len(self.found) > _MOST:
                raise TooLarge(f"a sheet of it has more than {_MOST:,} pictures")

    def _end(self, tag: str) -> None:
        name = local(tag)
        if name in {"row", "col"} and "from" in self._inside:
            self._corner[name] = whole_number("".join(self._texts).strip(), most=_MOST * 2)
        self._inside.discard(name)


class PicturesInCells:
    """The rich values of a workbook that are pictures.

    Args:
        relations: of the workbook's main part.
    """

    def __init__(self, package: Package, relations: Relations) -> None:
        self._package = package
        self._parts = {kind: target for kind, target, outside in relations.values() if not outside}

    def part(self, number: str) -> str | None:
        """The part with the picture that a cell's value is; "" for one that is fetched from elsewhere.

        Args:
            number: of the value's metadata, counted from 1, as the cell says it.

        Returns:
            None for a value that is no picture.
        """
        at = whole_number(number, most=_MOST) - 1
        return self._of_values[at] if 0 <= at < len(self._of_values) else None

    @cached_property
    def _of_values(self) -> Sequence[str | None]:
        """By the place in the list of values' metadata."""
        rich = [self._picture(*one) for one in self._rich_values()]
        types, future, values = self._metadata()
        found: list[str | None] = []
        for kind, at in values:
            named = types[kind - 1] if 0 < kind <= len(types) else ""
            value = future[at] if named == _RICH and at < len(future) else -1
            found.append(rich[value] if 0 <= value < len(rich) else None)
        return found

    def _picture(self, structure: int, fields: Sequence[str]) -> str | None:
        names = self._structures[structure] if structure < len(self._structures) else ()
        if _STORED in names and names.index(_STORED) < len(fields):
            at = whole_number(fields[names.index(_STORED)], most=_MOST)
            return self._targets[at] if at < len(self._targets) else ""
        return "" if _FETCHED in names else None

    def _metadata(self) -> tuple[Sequence[str], Sequence[int], Sequence[tuple[int, int]]]:
        """Names of types, rich values in the order of their blocks, and (type, block) of each value."""
        types: list[str] = []
        future: list[int] = []
        values: list[tuple[int, int]] = []
        where = [""]

        def start(tag: str, attributes: dict[str, str]) -> None:
            match local(tag):
                case "metadataType":
                    types.append(attributes.get("name", ""))
                case "futureMetadata":
                    where[0] = attributes.get("name", "")
                case "cellMetadata" | "valueMetadata" as section:
                    where[0] = section
                case "bk" if where[0] == _RICH:
                    future.append(-1)
                case "rvb" if where[0] == _RICH and future:
                    future[-1] = _number(attributes, "i")
                case "rc" if where[0] == "valueMetadata":
                    values.append((_number(attributes, "t"), _number(attributes, "v")))

        self._parse(_METADATA, start)
        return types, future, values

    def _rich_values(self) -> Sequence[tuple[int, Sequence[str]]]:
        """Structure and fields of each."""
        found: list[tuple[int, list[str]]] = []
        texts: list[str] = []

        def start(tag: str, attributes: dict[str, str]) -> None:
            texts.clear()
            if local(tag) == "rv":
                found.append((_number(attributes, "s"), []))

        def end(tag: str) -> None:
            if local(tag) == "v" and found:
                found[-1][1].append("".join(texts).strip())

        if self._has(_VALUES):
            self._package.parse(self._parts[_VALUES], start=start, end=end, text=texts.append)
        return found

    @cached_property
    def _structures(self) -> Sequence[Sequence[str]]:
        """Names of the fields of each."""
        found: list[list[str]] = []

        def start(tag: str, attributes: dict[str, str]) -> None:
            match local(tag):
                case "s":
                    found.append([])
                case "k" if found:
                    found[-1].append(attributes.get("n", ""))

        self._parse(_STRUCTURES, start)
        return found

    @cached_property
    def _targets(self) -> Sequence[str]:
        found: list[str] = []

        def start(tag: str, attributes: dict[str, str]) -> None:
            if local(tag) == "rel":
                found.append(_target(relations, _named(attributes, "id")))

        if self._has(_TARGETS):
            relations = self._package.relations(self._parts[_TARGETS])
            self._parse(_TARGETS, start)
        return found

    def _has(self, kind: str) -> bool:
        return kind in self._parts and self._package.has(self._parts[kind])

    def _parse(self, kind: str, start: Callable[[str, dict[str, str]], None]) -> None:
        if self._has(kind):
            self._package.parse(self._parts[kind], start=start)


def _target(relations: Relations, identity: str) -> str:
    """The part behind a relation; "" where it lies outside or is missing."""
    _, target, outside = relations.get(identity, ("", "", True))
    return "" if outside else target


def _named(attributes: Mapping[str, str], name: str) -> str:
    return next((value for written, value in attributes.items() if local(written) == name), "")


def _number(attributes: Mapping[str, str], name: str) -> int:
    return whole_number(attributes.get(name, "0"), most=_MOST)
