"""Who did what: to a batch, or to a team's characters, keys, limits and lanes. Read-only."""

from collections.abc import Sequence

from db.records import acts
from db.records.acts import Act
from domain.ids import BatchId
from pipeline.resources import Resources

__all__ = ["Act", "of_batch", "of_no_batch"]


def of_batch(resources: Resources, batch_id: BatchId) -> Sequence[Act]:
    """What people did to the batch; the newest first."""
    with resources.database.transaction() as connection:
        return acts.of_batch(connection, batch_id)


def of_no_batch(resources: Resources, team: str, *, limit: int) -> Sequence[Act]:
    """What was done to the team's characters, keys and limits; the newest first."""
    with resources.database.transaction() as connection:
        return acts.of_no_batch(connection, team, limit=limit)
