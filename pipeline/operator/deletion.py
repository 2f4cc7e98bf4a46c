"""Deleting a generation: what lives is asked to stop, its pictures are removed, the ledger and a tombstone stay.

A job that is at a provider runs to its last word, and may bring pictures after the wish; so a deletion is finished by
whoever finds it unfinished, when nothing of the generation can bring pictures any more.
"""

from datetime import datetime

from db.moves import by_person
from db.records import deletions
from db.records.deletions import Deletion
from domain.errors import RequestError
from domain.ids import BatchId, GenerationId
from pipeline.resources import Resources

__all__ = ["Deleted", "Deletion", "delete", "finish_some", "of"]


class Deleted(RequestError):
    """The generation was deleted; its tombstone says when."""

    def __init__(self, message: str, *, at: datetime) -> None:
        super().__init__(message)
        self.at = at


def of(resources: Resources, generation_id: GenerationId) -> Deletion | None:
    with resources.database.transaction() as connection:
        return deletions.of(connection, generation_id)


def delete(resources: Resources, generation_id: GenerationId, *, batch_id: BatchId, asked_by: str) -> Deletion:
    """Write the tombstone, cancel, and remove what there is; asking again does what is left to be done."""
    with resources.database.transaction() as connection:
        deletions.ask(connection, generation_id, asked_by=asked_by)
        by_person.request_cancel(connection, batch_id, generation_id=generation_id)
    with resources.database.transaction() as connection:
        by_person.cancel_admitted(connection)
    with resources.database.transaction() as connection:
        by_person.hasten_cancelled(connection)
    return _go_on(resources, generation_id)


def finish_some(resources: Resources, *, limit: int = 50) -> int:
    """Go on with deletions whose generations have become final since; returns how many are done now."""
    with resources.database.transaction() as connection:
        waiting = deletions.unfinished(connection, limit=limit)
    return sum(_go_on(resources, one).done_at is not None for one in waiting)


def _go_on(resources: Resources, generation_id: GenerationId) -> Deletion:
    """Remove the pictures that there are.

    Files first, rows after: who dies in between leaves rows that still name the files, and they are removed again.
    """
    with resources.database.transaction() as connection:
        known = deletions.of(connection, generation_id)
        assert known is not None, "the tombstone is written first"
        if known.done_at is not None:
            return known
        lives = deletions.lives(connection, generation_id)
        files = deletions.files_of(connection, generation_id)
        attempts = deletions.attempts_of(connection, generation_id)
        handed_in = None if lives else deletions.input_of(connection, generation_id)
    for key in {one.key for one in files if not one.shared}:
        resources.store.delete(key)
    if handed_in is not None:
        resources.store.delete(handed_in)
    if not lives:
        for attempt_id in attempts:
            resources.store.delete_reply(attempt_id)
    with resources.database.transaction() as connection:
        removed = deletions.forget_pictures(connection, generation_id)
        deletions.note(connection, generation_id, removed=removed, done=not lives)
        after = deletions.of(connection, generation_id)
    assert after is not None
    return after
