#!/usr/bin/env bash
# httpx2 2.16 returns the first part of a gzip body and drops the rest without a word.
#
# Expected: a body with Content-Encoding gzip that was put together from several gzip members (as by appending to a file, or by
#           parallel compressors) is read whole, or an error is raised: RFC 1952 allows several members, gzip and urllib3 read them.
# Seen: status 200, the first member's text, no error: a list of prompts arrives without its second half.
# So: what is fetched compressed is checked against a length or a digest, or asked for with Accept-Encoding: identity.
set -euo pipefail
d=$(mktemp -d)
trap 'rm -rf "$d"' EXIT
python3 -m venv "$d/venv"
"$d/venv/bin/pip" install -q --disable-pip-version-check httpx2==2.16.2 urllib3==2.8.0
"$d/venv/bin/python" - <<'PY'
import gzip
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx2
import urllib3

BODY = gzip.compress(b"prompt\na cat\n") + gzip.compress(b"a dog\na bird\n")


class Prompts(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, *_: object) -> None:
        pass


with HTTPServer(("127.0.0.1", 0), Prompts) as server:
    threading.Thread(target=server.serve_forever).start()
    url = f"http://127.0.0.1:{server.server_port}"
    try:
        read = {
            "gzip": gzip.decompress(BODY),
            f"urllib3 {urllib3.__version__}": urllib3.request("GET", url).data,
            f"httpx2 {httpx2.__version__}": httpx2.get(url).content,
        }
    finally:
        server.shutdown()
print("expected: 4 lines each")
for name, body in read.items():
    print(f"seen: {name} {body!r}")
seen = [len(body.splitlines()) for body in read.values()]
recorded = [4, 4, 2]
raise SystemExit(0 if seen == recorded else "the behaviour changed")
PY
