"""Which models unfinished work waits for."""

from sqlalchemy import Connection, select

from db.schema import generations
from domain.states import FINAL


def unfinished(connection: Connection) -> list[tuple[str, str]]:
    """Providers and models of the generations that are not final."""
    waiting = select(generations.c.provider, generations.c.model).where(generations.c.state.not_in(FINAL)).distinct()
    return [(row.provider, row.model) for row in connection.execute(waiting)]
