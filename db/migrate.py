"""Bring a database to the present schema; safe to call from many processes at once."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

from db.schema import metadata
from db.session import Database

_FOLDER = Path(__file__).parent / "migrations"
#: Any constant will do, as long as everybody who migrates takes the same.
_LOCK = 0x11CE_4E55


def config_for(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    config.attributes["connection"] = connection
    config.attributes["metadata"] = metadata
    return config


def migrate(database: Database) -> None:
    """Run what is missing, one process at a time; the others wait and find nothing left to do."""
    with database.engine.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _LOCK})
        connection.commit()  # the lock belongs to the session; the migrations open transactions of their own
        try:
            command.upgrade(config_for(connection), "head")
        finally:
            connection.rollback()
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _LOCK})
            connection.commit()
