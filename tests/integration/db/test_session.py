"""The way to Postgres: connections that died while nobody used them cost a reconnect and no failed step."""

import psycopg
import pytest
from sqlalchemy import text

from db import session
from db.session import Database, DatabaseAway


def _end_all(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def _ask(database: Database) -> int:
    with database.transaction() as connection:
        answer: int = connection.execute(text("SELECT 1")).scalar_one()
    return answer


def test_a_connection_that_died_in_the_pool_costs_a_reconnect(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "_FRESH_S", 0.0)
    assert _ask(database) == 1
    _end_all(database_url)
    assert _ask(database) == 1


def test_one_that_was_used_just_now_is_not_asked_first(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "_FRESH_S", 3600.0)
    assert _ask(database) == 1
    pings = 0

    def pinged(*_: object) -> None:
        nonlocal pings
        pings += 1

    monkeypatch.setattr(database.engine.dialect, "do_ping", pinged)
    assert _ask(database) == 1
    assert pings == 0
    _end_all(database_url)
    with pytest.raises(DatabaseAway):
        _ask(database)
    assert _ask(database) == 1, "all that were as old are gone with it"


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
