"""Signs of life of what must run: when beat's last tick was carried out."""

from sqlalchemy import Connection, extract, func, select
from sqlalchemy.dialects.postgresql import insert as upsert

from db.schema import ticks


def tick(connection: Connection, name: str) -> None:
    statement = upsert(ticks).values(name=name, at=func.now())
    connection.execute(statement.on_conflict_do_update(index_elements=[ticks.c.name], set_={"at": func.now()}))


def age_s(connection: Connection, name: str) -> float | None:
    """Seconds since the last tick of that name, by the clock of Postgres; None when there was none."""
    seconds = connection.execute(
        select(extract("epoch", func.now() - ticks.c.at)).where(ticks.c.name == name)
    ).scalar_one_or_none()
    return None if seconds is None else float(seconds)
