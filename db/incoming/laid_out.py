"""Rows beside those of a batch that has some already: what is new, what is gone, and what is inserted."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import Connection, CursorResult, text

from db.incoming.bulk_copy import copy_rows
from db.incoming.copy_lines import COLUMNS
from db.incoming.repeats import Repeats
from domain.ids import BatchId, CharacterId, GenerationId

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
        self.total = copy_rows(connection, "incoming", batch_id, user_id=user_id, numbered=repeats.numbered(lines))
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

        A known row that now says something else about further tries, or names another theme or variation, follows: it
        is the same row, and what is made stays.
        """
        new = self._run(
            f"INSERT INTO generations ({COLUMNS}) SELECT {COLUMNS} FROM incoming ORDER BY position"  # noqa: S608 -- constant column names
            " ON CONFLICT (batch_id, identity, occurrence) DO NOTHING"
        ).rowcount
        # Locked in the order of a cancel, so that the two may meet.
        self._run(
            "WITH changed AS (SELECT g.id, i.try_policy, coalesce(i.theme, g.theme) AS theme,"
            " coalesce(i.variation, g.variation) AS variation FROM generations g JOIN incoming i"
            " ON i.identity = g.identity AND i.occurrence = g.occurrence AND (i.try_policy <> g.try_policy"
            " OR coalesce(i.theme, g.theme) IS DISTINCT FROM g.theme"
            " OR coalesce(i.variation, g.variation) IS DISTINCT FROM g.variation)"
            " WHERE g.batch_id = :batch ORDER BY g.id FOR UPDATE OF g)"
            " UPDATE generations g SET try_policy = changed.try_policy, theme = changed.theme,"
            " variation = changed.variation FROM changed WHERE g.id = changed.id"
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
