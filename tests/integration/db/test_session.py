"""The way to Postgres: connections that died while nobody used them cost a reconnect and no failed step."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from psycopg.adapt import PyFormat, Transformer
from psycopg.pq import Format
from sqlalchemy import Connection, make_url, text

from db import session
from db.column_types import ByteStrings
from db.session import Database, DatabaseAway


def _end_all(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def _ask(database: Database) -> int:
    with database.transaction() as connection:
        answer: int = connection.execute(text("SELECT 1")).scalar_one()
    return answer


@pytest.mark.parametrize("values", [[], [b""], [b'\x00\\"{},NULL', bytes(range(256)), b"pig"]])
def test_strings_of_bytes_go_to_postgres_as_they_are(database: Database, values: list[bytes]) -> None:
    with database.transaction() as connection:
        asked = text(
            "SELECT given FROM unnest(CAST(:given AS bytea[])) WITH ORDINALITY AS one(given, place) ORDER BY place"
        )
        assert list(connection.execute(asked, {"given": ByteStrings(values)}).scalars()) == values
        adapting = Transformer(connection.connection.driver_connection)
        if values:
            assert adapting.get_dumper(ByteStrings(values), PyFormat.AUTO).format == Format.BINARY


@pytest.mark.parametrize("asked_each_time", [True, False])
def test_a_connection_that_died_in_the_pool_costs_a_reconnect(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch, *, asked_each_time: bool
) -> None:
    monkeypatch.setattr(session, "_QUIET_S", 0.0 if asked_each_time else 3600.0)
    assert _ask(database) == 1
    _end_all(database_url)
    assert _ask(database) == 1


@pytest.mark.parametrize(("quiet_s", "pings"), [(0.0, 1), (3600.0, 0)])
def test_one_that_was_used_lately_is_not_asked_first(
    database: Database, monkeypatch: pytest.MonkeyPatch, quiet_s: float, pings: int
) -> None:
    monkeypatch.setattr(session, "_QUIET_S", quiet_s)
    assert _ask(database) == 1
    seen = []
    ping = database.engine.dialect.do_ping
    monkeypatch.setattr(database.engine.dialect, "do_ping", lambda connection: seen.append(1) or ping(connection))
    assert _ask(database) == 1
    assert len(seen) == pings


def test_a_connection_that_dies_at_work_is_an_absence_and_the_next_one_answers(
    database: Database, database_url: str
) -> None:
    def asked_of_an_ended_server() -> None:
        with database.transaction() as connection:
            _end_all(database_url)
            connection.execute(text("SELECT 1"))

    with pytest.raises(DatabaseAway):
        asked_of_an_ended_server()
    assert _ask(database) == 1


def test_an_impatient_transaction_waits_half_a_second_for_a_row_and_others_as_long_as_it_takes(
    database: Database,
) -> None:
    for _ in range(2):
        with database.transaction(impatient=True) as connection:
            assert connection.execute(text("SHOW lock_timeout")).scalar_one() == "500ms"
        with database.transaction() as connection:
            assert connection.execute(text("SHOW lock_timeout")).scalar_one() == "0"


def test_a_connection_that_a_pooler_lends_says_its_patience_in_each_transaction(database: Database) -> None:
    """Whoever gets the connection next must not inherit it."""
    with database.transaction(impatient=True) as connection:
        connection.info["lent by a pooler"] = True  # as it is where a process id is made up
        connection.execute(text("SET lock_timeout = 0"))
    with database.transaction(impatient=True) as connection:
        assert connection.execute(text("SHOW lock_timeout")).scalar_one() == "500ms"
        connection.execute(text("COMMIT"))
        assert connection.execute(text("SHOW lock_timeout")).scalar_one() == "0"


def test_a_lookup_is_no_transaction_and_leaves_its_settings_to_nobody_else(
    database: Database, database_url: str
) -> None:
    shown = text("SELECT current_setting('plan_cache_mode'), current_setting('enable_seqscan')")
    with database.lookup() as connection:
        assert connection.execute(shown).one() == ("force_generic_plan", "off")
        with psycopg.connect(database_url) as other:
            state = "SELECT state FROM pg_stat_activity WHERE query LIKE 'SELECT current_setting%'"
            assert other.execute(state).fetchall() == [("idle",)]
    with database.transaction() as connection:
        assert connection.execute(shown).one() == ("auto", "on")
    _end_all(database_url)
    with database.lookup() as connection:
        assert connection.execute(shown).one() == ("force_generic_plan", "off")


@contextmanager
def _limited(url: str, setting: str) -> Iterator[Database]:
    """A new way to a database whose operator allows 200 ms for something."""
    limited = Database(
        make_url(url).update_query_dict({"options": f"-c {setting}=200"}).render_as_string(hide_password=False)
    )
    try:
        yield limited
    finally:
        limited.close()


@pytest.mark.parametrize("setting", ["statement_timeout", "lock_timeout"])
def test_what_must_not_be_lost_outlasts_a_row_that_is_held_for_longer_than_the_server_lets_a_statement_wait(
    database: Database, database_url: str, setting: str
) -> None:
    """A job's id that is given up there is a doubt about money."""
    with database.transaction() as connection:
        connection.execute(text("INSERT INTO ticks (name, at) VALUES ('held', now())"))
    refused: list[str] = []
    update = text("UPDATE ticks SET at = now() WHERE name = 'held'")
    with _limited(database_url, setting) as limited, database.engine.connect() as holder:
        holder.execute(text("SELECT 1 FROM ticks WHERE name = 'held' FOR UPDATE"))

        def write(connection: Connection) -> int:
            try:
                return connection.execute(update).rowcount
            except Exception as refusal:
                refused.append(str(refusal))
                holder.rollback()
                raise

        assert limited.insist(write, seconds=30) == 1
    assert len(refused) == 1


def test_a_server_that_ends_a_transaction_for_its_age_is_an_absence(database_url: str) -> None:
    """It ends the connection, and calls that neither an operational error nor its own absence."""

    def idle(limited: Database) -> None:
        with limited.transaction() as connection:
            (pid,) = connection.execute(text("SELECT pg_backend_pid()")).one()
            with psycopg.connect(database_url, autocommit=True) as other:
                until = time.monotonic() + 30
                while other.execute("SELECT FROM pg_stat_activity WHERE pid = %s", [pid]).fetchall():
                    assert time.monotonic() < until
            connection.execute(text("SELECT 1"))

    with _limited(database_url, "idle_in_transaction_session_timeout") as limited:
        with pytest.raises(DatabaseAway):
            idle(limited)
        assert _ask(limited) == 1
