#!/usr/bin/env bash
# Starlette 1.10 does not close a plain generator when the reader of its event stream goes away.
#
# Expected: when the client disconnects, the generator behind StreamingResponse is closed, so its finally block gives back what
#           it holds (a database connection, a listener), as it does for an async generator.
# Seen: an async generator is closed within a second. A plain one is dropped unclosed in a reference cycle: three seconds later
#       its finally block has not run; it runs when Python's cyclic garbage collector comes by.
# So: an event stream is an async generator, or borrows what it needs anew for each event.
set -euo pipefail
d=$(mktemp -d)
trap 'rm -rf "$d"' EXIT
python3 -m venv "$d/venv"
"$d/venv/bin/pip" install -q --disable-pip-version-check starlette==1.10.0 uvicorn==0.54.0 httpx2==2.16.2
"$d/venv/bin/python" - <<'PY'
import asyncio
import gc
import threading
import time
from collections.abc import AsyncIterator, Iterator

import httpx2
import starlette
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

given_back: list[str] = []


def plain() -> Iterator[str]:
    try:
        while True:
            yield "data: 1\n\n"
            time.sleep(0.1)
    finally:
        given_back.append("plain")


async def coroutine() -> AsyncIterator[str]:
    try:
        while True:
            yield "data: 1\n\n"
            await asyncio.sleep(0.1)
    finally:
        given_back.append("async")


async def stream(request: Request) -> StreamingResponse:
    return StreamingResponse(plain() if request.url.path == "/plain" else coroutine(), media_type="text/event-stream")


app = Starlette(routes=[Route("/plain", stream), Route("/async", stream)])
server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical"))
thread = threading.Thread(target=server.run)
thread.start()
while not server.started:
    time.sleep(0.05)
base = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
try:
    for path in ("/plain", "/async"):
        with httpx2.stream("GET", base + path) as answer:
            next(answer.iter_lines())
    time.sleep(3)
    seen = [list(given_back)]
    gc.collect()
    seen.append(list(given_back))
finally:
    server.should_exit = True
    thread.join()
print(f"starlette {starlette.__version__}\nexpected: both given back\nseen: {seen[0]}, after a collection {seen[1]}")
recorded = [["async"], ["async", "plain"]]
raise SystemExit(0 if seen == recorded else "the behaviour changed")
PY
