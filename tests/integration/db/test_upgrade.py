"""A migration runs beside the workers of the release before: it takes nothing away, and holds up nobody for long."""

import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import text

import db.migrate
from db.migrate import is_current, migrate
from db.session import Database
from runtime.embedded.stack import Servers
from tests.support.commands import wait_for
from tests.support.databases import url_of

#: These ask older workers for a column that they do not write: nothing had been released, so that there were none.
_BEFORE_THE_FIRST_RELEASE = frozenset({"0008", "0009"})
_FOLDER = Path(db.migrate.__file__).parent / "migrations"


@pytest.fixture
def empty(servers: Servers) -> Iterator[Database]:
    """A database that nobody has migrated."""
    with psycopg.connect(servers.libpq_url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE upgraded")
    database = Database(url_of(servers, "upgraded"))
    yield database
    database.close()
    with psycopg.connect(servers.libpq_url, autocommit=True) as connection:
        connection.execute("DROP DATABASE upgraded WITH (FORCE)")


def revisions() -> list[str]:
    """Oldest first."""
    walked = ScriptDirectory(str(_FOLDER)).walk_revisions()
    return [script.revision for script in walked][::-1]


def to(database: Database, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    with database.engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def columns(database: Database) -> dict[tuple[str, str], tuple[str, bool]]:
    """By table or view and column: the type, and whether a statement that does not name it may write a row."""
    with database.transaction() as connection:
        rows = connection.execute(
            text(
                "SELECT table_name, column_name, udt_name,"
                " is_nullable = 'YES' OR column_default IS NOT NULL OR is_identity = 'YES' AS optional"
                " FROM information_schema.columns WHERE table_schema = 'public'"
            )
        )
        return {(row.table_name, row.column_name): (row.udt_name, row.optional) for row in rows}


def test_what_the_code_before_reads_and_writes_is_there_after_each_migration(empty: Database) -> None:
    first, *later = revisions()
    to(empty, first)
    for revision in later:
        before = columns(empty)
        to(empty, revision)
        after = columns(empty)
        if revision in _BEFORE_THE_FIRST_RELEASE:
            continue
        for place, (kind, optional) in before.items():
            assert place in after, f"{revision} drops or renames {place}: first a release that does not use it"
            assert after[place][0] == kind, f"{revision} changes the type of {place}"
            assert after[place][1] or not optional, f"{revision} makes {place} required"
        tables = {table for table, _ in before}
        for (table, name), (_, optional) in after.items():
            new = table in tables and (table, name) not in before
            assert optional or not new, f"{revision} adds {table}.{name}, without which older workers write no row"


@pytest.mark.parametrize("revision", revisions())
def test_every_migration_says_how_long_it_waits_for_a_lock(revision: str) -> None:
    (path,) = (_FOLDER / "versions").glob(f"{revision}_*.py")
    said = path.read_text(encoding="utf-8")
    assert "SET LOCAL lock_timeout = '5s'" in said
    assert "SET LOCAL statement_timeout" in said


def test_a_migration_that_meets_a_held_table_lets_others_pass_and_is_tried_again(
    empty: Database, caplog: pytest.LogCaptureFixture
) -> None:
    to(empty, revisions()[0])
    with empty.engine.connect() as holder:
        holder.execute(text("LOCK TABLE batches IN ACCESS SHARE MODE"))
        migrating = threading.Thread(target=migrate, args=(empty,))
        migrating.start()
        wait_for(lambda: "is tried again" in caplog.text, what="a try that met the table")
        assert not is_current(empty)
        with empty.transaction() as connection:
            assert connection.execute(text("SELECT count(*) FROM batches")).scalar_one() == 0, "readers pass"
    migrating.join(timeout=60)
    assert is_current(empty)


def test_a_worker_of_the_release_before_starts_on_the_schema_of_the_next(empty: Database) -> None:
    migrate(empty)
    with empty.transaction() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        connection.execute(text("ALTER TABLE generations ADD COLUMN of_the_next_release text"))
    assert is_current(empty)
    migrate(empty)
    with empty.transaction() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one() == "9999"


def test_revisions_are_numbers_of_four_digits_in_their_order() -> None:
    found = revisions()
    assert found == sorted(found)
    assert all(len(one) == 4 and one.isdecimal() for one in found)
