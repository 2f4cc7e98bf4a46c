"""Generations of a batch as they become final, each once: for a log that grows while the batch runs."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from db.reads import generations
from db.reads.generations import Wanted
from domain.ids import BatchId, GenerationId
from pipeline.resources import Resources
from pipeline.views.report import line_of
from reports.records import GenerationLine

#: A transaction writes when it began and is seen when it commits, which no move puts off for longer.
_LATE: Final = timedelta(minutes=2)
_AT_ONCE: Final = 200


class Finished:
    """What has become final of one batch since it was last asked for."""

    def __init__(self, resources: Resources, batch_id: BatchId) -> None:
        self._resources = resources
        self._batch_id = batch_id
        self._seen: dict[tuple[GenerationId, datetime], None] = {}
        self._until: datetime | None = None

    def new(self) -> Iterator[GenerationLine]:
        """Lines of the generations that became final, in that order; at the first call of all that are."""
        since = None if self._until is None else self._until - _LATE
        with self._resources.database.transaction() as connection:
            found = generations.final_since(connection, self._batch_id, since)
        fresh = [one for one in found if one not in self._seen]
        for start in range(0, len(fresh), _AT_ONCE):
            some = fresh[start : start + _AT_ONCE]
            with self._resources.database.transaction() as connection:
                wanted = Wanted(generation_ids=[one for one, _ in some])
                all_details = {one.generation["id"]: one for one in generations.all_details(connection, wanted)}
            yield from (line_of(self._resources, all_details[one]) for one, _ in some)
            self._seen.update(dict.fromkeys(some))
            self._until = max(some[-1][1], self._until or some[-1][1])
        if self._until is not None:
            self._seen = {one: None for one in self._seen if one[1] >= self._until - _LATE}
