"""The way to Postgres: connections that died while nobody used them cost a reconnect and no failed step."""

import psycopg
import pytest
from sqlalchemy import text

from db import session
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
