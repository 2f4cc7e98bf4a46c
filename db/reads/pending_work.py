"""What waits for a tick, in one cheap statement, so that an idle system sends almost none."""

from dataclasses import dataclass

from sqlalchemy import Connection, text

#: Each EXISTS ends at the first entry of a partial index, so the answer does not depend on how much waits.
_BY_LANE = text(
    """
    SELECT l.name,
           (SELECT EXISTS (SELECT FROM finishings WHERE outcome IS NULL AND attempt_id IS NULL)) AS finishing,
           EXISTS (SELECT FROM generations g WHERE g.provider = l.provider AND g.state = 'queued') AS queued,
           EXISTS (SELECT FROM attempts a WHERE a.lane = l.name AND a.state = 'generating') AS generating,
           EXISTS (SELECT FROM attempts a WHERE a.lane = l.name AND a.state = 'in_doubt')
               OR EXISTS (SELECT FROM attempts a WHERE a.lane = l.name AND a.late_look_at IS NOT NULL) AS doubted,
           (SELECT EXISTS (SELECT FROM attempts WHERE state <> 'finished')) AS live,
           -- In the words of the two partial indexes; without them the whole table is read.
           (SELECT EXISTS (SELECT FROM generations WHERE state = 'preparing'
                           AND (pipeline_data #> '{prepare,routing}') IS NULL)
                OR EXISTS (SELECT FROM generations WHERE state = 'preparing'
                           AND (pipeline_data #> '{prepare,routing}') IS NOT NULL)) AS preparing
    FROM lanes l
    """
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingWork:
    """What there is to do.

    Args:
        queued: a generation waits for admission, for its prompt, or to be finished.
        live: an attempt is under way.
        generating: lanes with a job at their provider.
        doubted: lanes with a doubt, or with a job that may still turn up late.
    """

    queued: bool
    live: bool
    generating: frozenset[str]
    doubted: frozenset[str]


def read(connection: Connection) -> PendingWork:
    rows = connection.execute(_BY_LANE).all()
    return PendingWork(
        queued=any(row.queued or row.preparing or row.finishing for row in rows),
        live=any(row.live for row in rows),
        generating=frozenset(row.name for row in rows if row.generating),
        doubted=frozenset(row.name for row in rows if row.doubted),
    )
