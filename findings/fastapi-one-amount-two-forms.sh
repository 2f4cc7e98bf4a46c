#!/usr/bin/env bash
# FastAPI 0.165 sends the same Decimal as a rounded JSON number from one route and as exact text from another.
#
# Expected: an amount has one form in an API, and a Decimal keeps its digits on the way out, as in pydantic.
# Seen: a route with a declared type answers "0.10"; one that returns a plain dict answers 0.1, and 5 for Decimal("5");
#       9007199254740993.01 becomes 9007199254740994.0. A client that reads one form cannot read the other.
# So: every route that tells an amount declares its response type.
set -euo pipefail
d=$(mktemp -d)
trap 'rm -rf "$d"' EXIT
python3 -m venv "$d/venv"
"$d/venv/bin/pip" install -q --disable-pip-version-check fastapi==0.165.0 httpx2==2.16.2
"$d/venv/bin/python" - <<'PY'
from decimal import Decimal

import fastapi
from fastapi.testclient import TestClient

app = fastapi.FastAPI()
AMOUNTS = {"usd": Decimal("0.10"), "whole": Decimal("5"), "large": Decimal("9007199254740993.01")}


@app.get("/declared")
def declared() -> dict[str, Decimal]:
    return AMOUNTS


@app.get("/plain")
def plain():
    return AMOUNTS


client = TestClient(app)
seen = [client.get("/declared").text, client.get("/plain").text]
print(f"fastapi {fastapi.__version__}\nexpected: the same text twice\nseen:", *seen, sep="\n  ")
recorded = [
    '{"usd":"0.10","whole":"5","large":"9007199254740993.01"}',
    '{"usd":0.1,"whole":5,"large":9007199254740994.0}',
]
raise SystemExit(0 if seen == recorded else "the behaviour changed")
PY
