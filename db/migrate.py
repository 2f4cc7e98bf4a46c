"""Migrate a database to the current schema; safe to call from many processes at once."""

from pathlib import Path

from sqlalchemy import text

from db.session import Database

_FOLDER = Path(__file__).parent / "migrations"
#: The newest revision of `migrations/versions`; a test compares.
HEAD = "0004"
#: Key of the advisory lock; any constant.
_LOCK = 0x11CE_4E55


def _revision(database: Database) -> str | None:
    """The newest revision that was run, or None for an empty database."""
    with database.engine.connect() as connection:
        if connection.execute(text("SELECT to_regclass('alembic_version')")).scalar_one() is None:
            return None
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


def migrate(database: Database) -> None:
    """Run missing migrations, one process at a time; the others wait and find nothing to do."""
    if _revision(database) == HEAD:
        return  # the usual case, without importing Alembic
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_FOLDER))

    with database.engine.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _LOCK})
        connection.commit()  # the lock belongs to the session; the migrations open transactions of their own
        try:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
        finally:
            connection.rollback()
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _LOCK})
            connection.commit()
