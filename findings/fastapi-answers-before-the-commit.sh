#!/usr/bin/env bash
# FastAPI 0.165 tells the client 202 Accepted before the request's transaction is committed.
#
# Expected: a dependency that yields a session and commits after the yield ends before the answer; a failed commit is a 500.
# Seen: code after the yield runs when the answer has left. The commit fails, the client has read 202, nothing is stored. With
#       Depends(..., scope="function") the answer is 500.
# So: whatever the answer promises is committed in the route, or in a dependency of scope "function".
set -euo pipefail
d=$(mktemp -d)
trap 'rm -rf "$d"' EXIT
python3 -m venv "$d/venv"
"$d/venv/bin/pip" install -q --disable-pip-version-check fastapi==0.165.0 uvicorn==0.54.0 httpx2==2.16.2
"$d/venv/bin/python" - <<'PY'
import threading
import time
from collections.abc import Iterator
from typing import Annotated

import fastapi
import httpx2
import uvicorn

app = fastapi.FastAPI()
rolled_back: list[str] = []


def transaction() -> Iterator[str]:
    try:
        yield "session"
        raise RuntimeError("the commit failed")
    except RuntimeError:
        rolled_back.append("batch")
        raise


@app.post("/batches", status_code=202)
def in_the_scope_of_the_request(session: Annotated[str, fastapi.Depends(transaction)]) -> dict[str, str]:
    return {"state": "accepted"}


@app.post("/batches-in-function-scope", status_code=202)
def in_the_scope_of_the_function(session: Annotated[str, fastapi.Depends(transaction, scope="function")]) -> dict[str, str]:
    return {"state": "accepted"}


server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical"))
thread = threading.Thread(target=server.run)
thread.start()
while not server.started:
    time.sleep(0.05)
base = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
try:
    answers = [httpx2.post(base + path) for path in ("/batches", "/batches-in-function-scope")]
finally:
    server.should_exit = True
    thread.join()
print(f"fastapi {fastapi.__version__}\nexpected: 500 and 500")
print(f"seen: {answers[0].status_code} {answers[0].text} and {answers[1].status_code}; {len(rolled_back)} transactions failed")
seen = [answer.status_code for answer in answers] + [len(rolled_back)]
recorded = [202, 500, 2]
raise SystemExit(0 if seen == recorded else "the behaviour changed")
PY
