"""Say which names a table has, for a message about one that it has not."""

from sqlalchemy import Column, ColumnElement, Connection, func, select

_SHOWN = 10


def known_names(connection: Connection, name: Column[str], mine: ColumnElement[bool]) -> str | None:
    """The first names in words, and how many more there are, so that nobody takes ten for all; None if there are none.

    Args:
        name: the column that holds them.
        mine: which rows count.
    """
    chosen = select(name, func.count().over()).where(mine).order_by(name).limit(_SHOWN)
    rows = connection.execute(chosen).all()
    if not rows:
        return None
    more = rows[0][1] - len(rows)
    return f"there are {', '.join(repr(row[0]) for row in rows)}" + (f" and {more:,} more" if more else "")
