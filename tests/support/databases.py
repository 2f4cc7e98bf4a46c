"""Lend each test an empty, migrated database: one that an earlier test has used, if it can be made as it was.

Copying the template makes a thousand files, which takes longer than most tests. What a test leaves is deleted instead;
a database whose schema or size has changed is dropped.
"""

import itertools
from typing import Final, LiteralString

import psycopg
from psycopg import sql

from db.migrate import migrate
from db.session import Database
from runtime.embedded.stack import Servers

TEMPLATE: Final = "likeness_template"
_GROWN: Final = 8 * 1024 * 1024

#: All of the schema that a test could leave changed, and whether the planner was told how many rows there are: in an
#: empty table it would go by that when the next test fills it.
_SCHEMA: Final = """
SELECT md5(string_agg(said, ',' ORDER BY said)) FROM (
    SELECT concat_ws(' ', 'class', relname, relkind, reloptions, relacl, reltuples >= 0) FROM pg_class
        WHERE relnamespace = 'public'::regnamespace
    UNION ALL SELECT concat_ws(' ', 'column', a.attrelid::regclass, a.attname, a.atttypid, a.attnotnull, a.atthasdef)
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND a.attnum > 0
    UNION ALL SELECT concat_ws(' ', 'constraint', conrelid::regclass, conname, convalidated, conkey) FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT concat_ws(' ', 'index', indexrelid::regclass, indisvalid, indkey) FROM pg_index i
        JOIN pg_class c ON c.oid = i.indexrelid WHERE c.relnamespace = 'public'::regnamespace
    UNION ALL SELECT concat_ws(' ', 'trigger', tgrelid::regclass, tgname, tgenabled) FROM pg_trigger
        WHERE NOT tgisinternal
    UNION ALL SELECT concat_ws(' ', 'function', proname, md5(prosrc)) FROM pg_proc
        WHERE pronamespace = 'public'::regnamespace
    UNION ALL SELECT concat_ws(' ', 'type', typname) FROM pg_type WHERE typnamespace = 'public'::regnamespace
    UNION ALL SELECT concat_ws(' ', 'extension', extname, extversion) FROM pg_extension
    UNION ALL SELECT concat_ws(' ', 'schema', nspname, nspacl) FROM pg_namespace WHERE nspname !~ '^pg_(temp|toast)'
    UNION ALL SELECT concat_ws(' ', 'setting', s.setconfig) FROM pg_db_role_setting s
        JOIN pg_database d ON d.oid = s.setdatabase AND d.datname = current_database()
) AS parts(said)
"""
_END_OTHERS: Final = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
_SEQUENCES: Final = """
SELECT setval(format('%I.%I', schemaname, sequencename)::regclass, start_value, false) FROM pg_sequences
WHERE last_value IS NOT NULL
"""


class Databases:
    """The databases of one run; for one thread."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self._numbers = itertools.count(1)
        self._clean: list[str] = []
        #: A connection to each database, which knows its tables by now.
        self._own: dict[str, psycopg.Connection] = {}
        # It would count the rows of a table that was just emptied, at any moment of the next test.
        self._admin("ALTER SYSTEM SET autovacuum = off")
        self._admin("SELECT pg_reload_conf()")
        self._admin(f"CREATE DATABASE {TEMPLATE}")
        database = Database(url_of(servers, TEMPLATE))
        migrate(database)
        database.close()
        with psycopg.connect(url_of(servers, TEMPLATE), autocommit=True) as connection:
            self._schema = _text(connection, _SCHEMA)
            self._size = _number(connection, "SELECT pg_database_size(current_database())")
            found = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
            tables = [str(name) for (name,) in found]
            #: What the migrations themselves have written.
            seeded = connection.execute(_which_have_rows(tables)).fetchall()
            self._seeded = {str(name): _content(connection, name) for (name,) in seeded}
        self._with_rows = _which_have_rows([name for name in tables if name not in self._seeded])

    def lend(self) -> str:
        """The name of a database that is as the template."""
        if self._clean:
            return self._clean.pop()
        name = f"test_{next(self._numbers)}"
        self._admin(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
        return name

    def take_back(self, name: str) -> None:
        """End all who are connected, and keep the database for the next test if it can be made as it was."""
        if self._made_clean(name):
            self._clean.append(name)
        else:
            self._own.pop(name).close()
            self._admin(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def close(self) -> None:
        for connection in self._own.values():
            connection.close()

    def _made_clean(self, name: str) -> bool:
        connection = self._own.get(name)
        if connection is None:
            connection = self._own[name] = psycopg.connect(url_of(self._servers, name), autocommit=True)
        try:
            connection.execute(_END_OTHERS)
            if _text(connection, _SCHEMA) != self._schema:
                return False
            if any(_content(connection, table) != content for table, content in self._seeded.items()):
                return False
            with connection.transaction():
                # Whoever refers to whom: all of them go.
                connection.execute("SET LOCAL session_replication_role = replica")
                for (table,) in connection.execute(self._with_rows).fetchall():
                    connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))
                connection.execute(_SEQUENCES)
            return _number(connection, "SELECT pg_database_size(current_database())") - self._size < _GROWN
        except psycopg.Error:
            return False  # a test may have ended this connection, or all of the server

    def _admin(self, statement: str) -> None:
        with psycopg.connect(self._servers.libpq_url, autocommit=True) as connection:
            connection.execute(statement.encode())


def url_of(servers: Servers, name: str) -> str:
    """The address of another database of the same server."""
    base, _, query = servers.libpq_url.partition("?")
    return f"{base.rpartition('/')[0]}/{name}" + (f"?{query}" if query else "")


def _which_have_rows(tables: list[str]) -> bytes:
    one = sql.SQL("SELECT {} WHERE EXISTS (SELECT FROM {})")
    return (
        sql.SQL(" UNION ALL ").join(one.format(sql.Literal(name), sql.Identifier(name)) for name in tables).as_bytes()
    )


def _content(connection: psycopg.Connection, table: str) -> str:
    asked = sql.SQL("SELECT coalesce(string_agg(t::text, ',' ORDER BY t::text), '') FROM {} t")
    return str(_one(connection, asked.format(sql.Identifier(table))))


def _text(connection: psycopg.Connection, statement: LiteralString) -> str:
    return str(_one(connection, sql.SQL(statement)))


def _number(connection: psycopg.Connection, statement: LiteralString) -> int:
    return int(str(_one(connection, sql.SQL(statement))))


def _one(connection: psycopg.Connection, statement: sql.Composable) -> object:
    row = connection.execute(statement).fetchone()
    assert row is not None
    found: object = row[0]
    return found
