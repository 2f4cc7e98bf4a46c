"""Migrate a database to the current schema; safe to call from many processes at once."""

import logging
import time
from pathlib import Path
from typing import Final

from psycopg.errors import LockNotAvailable
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from db.session import Database, DatabaseAway

log = logging.getLogger(__name__)

_FOLDER = Path(__file__).parent / "migrations"
#: The newest revision of `migrations/versions`; a test compares.
HEAD = "0012"
#: Key of the advisory lock; any constant.
_LOCK = 0x11CE_4E55
_TRIES: Final = 6
_PAUSE_S: Final = 1.0


def _revision(database: Database) -> str | None:
    """The newest revision that was run, or None for an empty database."""
    with database.engine.connect() as connection:
        if connection.execute(text("SELECT to_regclass('alembic_version')")).scalar_one() is None:
            return None
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


def is_current(database: Database) -> bool:
    """Whether there is nothing to migrate.

    A database that a later version has migrated counts: migrations only add, so that this version works with it.
    Alembic refuses a revision that it does not know, and a worker that restarts during an upgrade would not start.
    """
    revision = _revision(database)
    if revision is not None and revision > HEAD:
        log.info("the database is at %s, which is newer than this version's %s", revision, HEAD)
    # Revisions are numbers of four digits.
    return revision is not None and revision >= HEAD


def migrate(database: Database) -> None:
    """Run missing migrations, one process at a time; the others wait and find nothing to do.

    A migration waits for a table for five seconds at most, because whoever wants to read it waits behind the migration;
    it is tried again when the others have had their turn. What was done before stays done.

    Raises:
        DatabaseAway: somebody held a table all the while.
    """
    if is_current(database):
        return  # the usual case, without importing Alembic
    for _ in range(_TRIES):
        try:
            _upgrade(database)
        except (OperationalError, LockNotAvailable) as error:
            # A revision that is a script goes past SQLAlchemy, and so does its failure.
            if not isinstance(getattr(error, "orig", error), LockNotAvailable):
                raise
            log.warning("a migration waits for a table that somebody holds, and is tried again")
            time.sleep(_PAUSE_S)
        else:
            return
    raise DatabaseAway("a table that a migration changes is held by a long transaction; end it (pg_stat_activity)")


def _upgrade(database: Database) -> None:
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
