"""The tables as migrations build them are the tables as the code knows them."""

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError

import db.migrate
from db.migrate import migrate
from db.schema import metadata as books
from db.schema_api import metadata as api
from db.schema_checks import metadata as checks
from db.schema_learning import metadata as learning
from db.schema_preparation import metadata as preparation
from db.session import Database


def test_migrations_build_exactly_the_schema(database: Database) -> None:
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), books) == []


def test_all_tables_are_in_one_collection() -> None:
    assert books is checks
    assert books is api
    assert books is preparation
    assert books is learning


def test_the_newest_revision_is_the_one_that_start_up_looks_for() -> None:
    scripts = ScriptDirectory(str(Path(db.migrate.__file__).parent / "migrations"))
    assert scripts.get_current_head() == db.migrate.HEAD


def test_migrating_twice_changes_nothing(database: Database) -> None:
    migrate(database)


def test_the_ledger_refuses_changes(database: Database) -> None:
    for statement in ("UPDATE ledger_entries SET reason = ''", "DELETE FROM ledger_entries", "TRUNCATE ledger_entries"):
        with pytest.raises(DatabaseError, match="append-only"), database.transaction() as connection:
            connection.execute(text(statement))


@pytest.mark.parametrize("view", ["generation_summary", "user_generation_stats", "spend_daily"])
def test_every_view_can_be_read(database: Database, view: str) -> None:
    with database.transaction() as connection:
        assert connection.execute(text(f"SELECT * FROM {view}")).all() == []
