"""Rows on their way into the queue as lines of COPY, and what can be read back from one.

A row becomes a line once, when it is checked, and the line is what is kept until the batch is written: a million rows
need no memory. Its id, its batch and its number among equals are put in front of it on its way to Postgres.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from domain.ids import CharacterId
from domain.preparation import WISHES
from domain.states import GenerationState

#: What stands in front of a line, in the order of COPY.
_IN_FRONT: Final = ("batch_id", "user_id", "id", "occurrence")
#: What a line holds. The identity comes first and has a fixed length, so that it can be read without taking the line
#: apart.
_IN_LINE: Final = (
    "identity",
    "position",
    "prompt",
    "theme",
    "variation",
    "pipeline_data",
    "state",
    "character_id",
    "further_character_ids",
    "provider",
    "model",
    "settings",
    "try_policy",
    "hold_usd",
    "price_usd",
)
COLUMNS: Final = ", ".join((*_IN_FRONT, *_IN_LINE))
_NULL: Final = "\\N"
#: Where the identity stands in a line, in hexadecimal digits.
DIGEST: Final = slice(3, 3 + 64)
_ESCAPED: Final = str.maketrans(
    {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f", "\v": "\\v"}
)
_WRITTEN: Final = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", "v": "\v"}
_NOTHING: Final = json.dumps({})


def escaped(written: str | None) -> str:
    """A text as COPY reads it; None is NULL."""
    if written is None:
        return _NULL
    if written.isprintable() and "\\" not in written:
        return written
    return written.translate(_ESCAPED)


def shared_columns(
    *,
    character_ids: Sequence[CharacterId],
    provider: str,
    model: str,
    settings: Mapping[str, Any],
    try_policy: Mapping[str, Any],
    hold_usd: Decimal,
    price_usd: Decimal,
) -> str:
    """The end of a line, which rows of one kind have in common.

    Args:
        character_ids: whom the picture must show; the first is the generation's own, the others go with it.
    """
    first, further = character_ids[:1], character_ids[1:]
    return "\t".join(
        (
            str(first[0]) if first else _NULL,
            "{" + ",".join(map(str, further)) + "}",
            escaped(provider),
            escaped(model),
            escaped(json.dumps(settings, ensure_ascii=False)),
            escaped(json.dumps(try_policy)),
            str(hold_usd),
            str(price_usd),
        )
    )


def line_of(
    *,
    identity: bytes,
    position: int,
    prompt: str,
    theme: str | None,
    variation: str | None,
    pipeline_data: Mapping[str, Any] | None,
    shared: str,
) -> str:
    """One row, ending with a line feed; it is prepared first where its data says what is wished of that.

    Args:
        identity: 32 bytes that rows share that ask for the same picture.
        position: row of the prompt file, from 0.
        shared: as `shared_columns` writes it.
    """
    state = GenerationState.PREPARING if pipeline_data and WISHES in pipeline_data else GenerationState.QUEUED
    data = escaped(json.dumps(pipeline_data, ensure_ascii=False)) if pipeline_data else _NOTHING
    return (
        f"\\\\x{identity.hex()}\t{position}\t{escaped(prompt)}\t{escaped(theme)}\t{escaped(variation)}\t{data}"
        f"\t{state.value}\t{shared}\n"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class IncomingRow:
    """A line read back.

    Args:
        worded: its prompt is words of a person, and does not stand in for what a stage is yet to write.
    """

    position: int
    prompt: str
    provider: str
    model: str
    settings: Mapping[str, Any]
    worded: bool


def read_line(line: str) -> IncomingRow:
    cells = dict(zip(_IN_LINE, line.rstrip("\n").split("\t"), strict=True))
    return IncomingRow(
        position=int(cells["position"]),
        prompt=_unescaped(cells["prompt"]),
        provider=_unescaped(cells["provider"]),
        model=_unescaped(cells["model"]),
        settings=json.loads(_unescaped(cells["settings"])),
        worded=cells["pipeline_data"] == _NOTHING or _worded(json.loads(_unescaped(cells["pipeline_data"]))),
    )


def _worded(data: Mapping[str, Any]) -> bool:
    return WISHES not in data or data[WISHES].get("prompt") is not None


def asked_in(line: str) -> tuple[str, ...]:
    """What tells a line from another that asks for something else: its identity, where it is sorted, and its hold."""
    cells = dict(zip(_IN_LINE, line.rstrip("\n").split("\t"), strict=True))
    return tuple(cells[name] for name in ("identity", "theme", "variation", "hold_usd"))


@dataclass(frozen=True, slots=True, kw_only=True)
class PricedRow:
    """Of a line read back: where it stands, and what it costs."""

    position: int
    theme: str
    variation: str
    hold_usd: Decimal
    price_usd: Decimal


def priced_in(line: str) -> PricedRow:
    """Where a line stands, and what it costs; an absent theme or variation is ""."""
    cells = dict(zip(_IN_LINE, line.rstrip("\n").split("\t"), strict=True))
    theme, variation = ("" if cells[name] == _NULL else _unescaped(cells[name]) for name in ("theme", "variation"))
    return PricedRow(
        position=int(cells["position"]),
        theme=theme,
        variation=variation,
        hold_usd=Decimal(cells["hold_usd"]),
        price_usd=Decimal(cells["price_usd"]),
    )


def _unescaped(cell: str) -> str:
    head, *rest = cell.split("\\\\")
    parts = [head, *rest]
    for letter, meant in _WRITTEN.items():
        parts = [part.replace(f"\\{letter}", meant) for part in parts]
    return "\\".join(parts)
