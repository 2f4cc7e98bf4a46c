"""Rows on their way into the queue: written as lines of COPY, compared with what their batch has, and inserted in bulk.

A row becomes a line once, when it is checked, and the line is what is kept until the batch is written: a million rows
need no memory. Its id, its batch and its number among equals are put in front of it on its way to Postgres.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import Connection, CursorResult, text

from db.ids import new_id_text
from domain.ids import BatchId, CharacterId, GenerationId
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
_COLUMNS: Final = ", ".join((*_IN_FRONT, *_IN_LINE))
_NULL: Final = "\\N"
_DIGEST: Final = slice(3, 3 + 64)
_ESCAPED: Final = str.maketrans(
    {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f", "\v": "\\v"}
)
_WRITTEN: Final = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", "v": "\v"}
_LINES_AT_ONCE: Final = 512
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


class Repeats:
    """Which identities may have come before: as much memory for a million rows as for ten.

    A bit per identity says whether one like it has been seen; the few that share a bit are remembered by name, and
    `numbered` counts those alone.
    """

    _BITS: Final = 1 << 27

    def __init__(self) -> None:
        self._seen = bytearray(self._BITS // 8)
        self._repeated: set[str] = set()

    def note(self, identity: bytes) -> None:
        place = int.from_bytes(identity[:4], "big") & (self._BITS - 1)
        at, bit = place >> 3, 1 << (place & 7)
        if self._seen[at] & bit:
            self._repeated.add(identity.hex())
        else:
            self._seen[at] |= bit

    def numbered(self, lines: Iterable[str]) -> Iterator[tuple[int, str]]:
        """Each line with its number among its equals, from 0."""
        repeated = self._repeated
        if not repeated:
            yield from ((0, line) for line in lines)
            return
        counts: Counter[str] = Counter()
        for line in lines:
            digest = line[_DIGEST]
            if digest in repeated:
                yield counts[digest], line
                counts[digest] += 1
            else:
                yield 0, line


def copy_new(connection: Connection, batch_id: BatchId, *, user_id: str, lines: Iterable[str], repeats: Repeats) -> int:
    """Write the rows of a batch that has none yet; returns how many there were."""
    return _copy(connection, "generations", batch_id, user_id, repeats.numbered(lines))


_UNKNOWN: Final = (
    "NOT EXISTS (SELECT FROM generations g WHERE g.batch_id = :batch AND g.identity = i.identity"
    " AND g.occurrence = i.occurrence)"
)
_VANISHED: Final = (
    "g.batch_id = :batch AND NOT EXISTS (SELECT FROM incoming i WHERE i.identity = g.identity"
    " AND i.occurrence = g.occurrence)"
)

_TALLY: Final = (
    "SELECT provider, model, settings - 'seed' AS settings, count(*) AS count,"  # noqa: S608 -- a constant condition
    f" sum(price_usd) AS expected_usd, sum(hold_usd) AS at_most_usd FROM incoming i WHERE {_UNKNOWN}"
    " GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
)
_ONE_SIDED: Final = (
    "id, position, prompt, provider, model, settings, state, price_usd,"
    " coalesce(pipeline_data -> 'prepare', '{}') AS wishes,"
    " array_remove(array_prepend(character_id, further_character_ids), NULL) AS character_ids"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Rows of one kind: how many there are, and what they cost.

    Args:
        settings: without the seed, which most rows have to themselves.
        expected_usd, at_most_usd: of all of them together.
    """

    provider: str
    model: str
    settings: Mapping[str, Any]
    count: int
    expected_usd: Decimal
    at_most_usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmatched:
    """A row that stands on one side alone: in the file and not in the batch, or the other way round.

    Args:
        id: of the generation.
        character_ids: whom the picture must show, the generation's own first.
        wishes: of the stages before the picture.
    """

    id: GenerationId
    position: int
    prompt: str
    provider: str
    model: str
    settings: Mapping[str, Any]
    character_ids: Sequence[CharacterId]
    state: str
    price_usd: Decimal
    wishes: Mapping[str, Any]


class LaidOut:
    """Rows beside those of a batch that has some already, until the transaction ends.

    Args:
        total: how many rows were laid out.
    """

    def __init__(
        self, connection: Connection, batch_id: BatchId, *, user_id: str, lines: Iterable[str], repeats: Repeats
    ) -> None:
        self._connection = connection
        self._batch_id = batch_id
        self._run("CREATE TEMP TABLE incoming (LIKE generations INCLUDING DEFAULTS INCLUDING GENERATED) ON COMMIT DROP")
        self.total = _copy(connection, "incoming", batch_id, user_id, repeats.numbered(lines))
        self._run("ANALYZE incoming")

    def tally_new(self) -> list[Tally]:
        """The rows that the batch does not have, by kind."""
        return [Tally(**row) for row in self._run(_TALLY).mappings()]

    def new(self) -> Iterator[Unmatched]:
        """The rows that the batch does not have, in the order of the file."""
        return self._unmatched(f"incoming i WHERE {_UNKNOWN} ORDER BY i.position")

    def vanished(self) -> Iterator[Unmatched]:
        """What the batch has and was not laid out, in the order of its file."""
        # A table that was counted when it was empty is taken to be so until it is counted again: two hundred thousand
        # rows, just enqueued, would each be looked for in all that were laid out.
        self._run("SET LOCAL enable_nestloop = off")
        found = self._unmatched(f"generations g WHERE {_VANISHED} ORDER BY g.position, g.id")
        self._run("SET LOCAL enable_nestloop = DEFAULT")
        return found

    def pass_over(self, positions: Collection[int]) -> None:
        """Take rows away again."""
        if positions:
            self._run("DELETE FROM incoming WHERE position = ANY(:positions)", positions=sorted(positions))

    def insert(self) -> int:
        """Add the rows that the batch does not have; returns how many.

        A known row that now says something else about further tries follows: it is the same row, and what is made
        stays.
        """
        new = self._run(
            f"INSERT INTO generations ({_COLUMNS}) SELECT {_COLUMNS} FROM incoming ORDER BY position"  # noqa: S608 -- constant column names
            " ON CONFLICT (batch_id, identity, occurrence) DO NOTHING"
        ).rowcount
        # Locked in the order of a cancel, so that the two may meet.
        self._run(
            "WITH changed AS (SELECT g.id, i.try_policy FROM generations g JOIN incoming i"
            " ON i.identity = g.identity AND i.occurrence = g.occurrence AND i.try_policy <> g.try_policy"
            " WHERE g.batch_id = :batch ORDER BY g.id FOR UPDATE OF g)"
            " UPDATE generations g SET try_policy = changed.try_policy FROM changed WHERE g.id = changed.id"
        )
        return new

    def _unmatched(self, source: str) -> Iterator[Unmatched]:
        rows = self._run(f"SELECT {_ONE_SIDED} FROM {source}", streamed=True)  # noqa: S608 -- constant sources
        return (Unmatched(**row) for row in rows.mappings())

    def _run(self, statement: str, *, streamed: bool = False, **values: Any) -> CursorResult[Any]:
        found = text(statement)
        if ":batch" in statement:
            values["batch"] = self._batch_id
        options = {"stream_results": True, "yield_per": 1_000} if streamed else {}
        return self._connection.execute(found, values, execution_options=options)


def _copy(
    connection: Connection, table: str, batch_id: BatchId, user_id: str, numbered: Iterable[tuple[int, str]]
) -> int:
    driver = connection.connection.driver_connection
    if driver is None:
        raise RuntimeError("the connection was closed under a running transaction")
    front = f"{batch_id}\t{escaped(user_id)}\t"
    total = 0
    block: list[str] = []
    with driver.cursor() as cursor, cursor.copy(f"COPY {table} ({_COLUMNS}) FROM STDIN") as copy:
        for occurrence, line in numbered:
            block.append(f"{front}{new_id_text()}\t{occurrence}\t{line}")
            if len(block) == _LINES_AT_ONCE:
                copy.write("".join(block))
                total += len(block)
                block.clear()
        copy.write("".join(block))
    return total + len(block)
