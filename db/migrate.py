"""Migrate a database to the current schema; safe to call from many processes at once."""

from pathlib import Path

from sqlalchemy import text

from db.session import Database

_FOLDER = Path(__file__).parent / "migrations"
#: The newest revision of `migrations/versions`; a test compares.
HEAD = "0009"
#: Key of the advisory lock; any constant.
_LOCK = 0x11CE_4E55


def _revision(database: Database) -> str | None:
    """The newest revision that was run, or None for an empty database."""
    with database.engine.connect() as connection:
        if connection.execute(text("SELECT to_regclass('alembic_version')")).scalar_one() is None:
            return None
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


def is_current(database: Database) -> bool:
    """Whether there is nothing to migrate."""
    return _revision(database) == HEAD


def migrate(database: Database) -> None:
    """Run missing migrations, one process at a time; the others wait and find nothing to do."""
    if is_current(database):
        return  # the usual case, without importing Alembic
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    # The lock belongs to an open transaction on a connection of its own: behind a pooler, a session's lock would be
    # shared with whoever gets the server's connection next.
    with database.engine.begin() as lock, database.engine.connect() as connection:
        lock.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
