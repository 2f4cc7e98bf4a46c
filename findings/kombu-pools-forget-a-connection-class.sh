#!/usr/bin/env bash
# kombu 5.7 pools connections of its own class, whatever the class of the connection that they are made from.
#
# Expected: `connection.Pool()` and `kombu.pools.producers[connection]` hand out copies of `connection`, as `clone()` does, so that
#           what a subclass overrides (here the transport, there a retry or a name) holds for all of an application.
# Seen: `clone()` keeps the subclass; both pools hand out `PooledConnection`, and a Celery application whose `amqp` has a
#       Connection of its own takes messages by that class and sends them by kombu's.
# So: what must hold for publishing goes into the transport that the address names, or into the channel; test the class of
#       `app.producer_pool.acquire().connection.transport` and not that of `app.connection_for_write()`.
set -euo pipefail
d=$(mktemp -d)
trap 'rm -rf "$d"' EXIT
python3 -m venv "$d/venv"
"$d/venv/bin/pip" install -q --disable-pip-version-check celery==5.7.0 kombu==5.7.0
cd "$d"
"$d/venv/bin/python" - <<'PY'
import celery
import kombu
from celery.app.amqp import AMQP
from kombu.pools import producers
from kombu.transport import memory


class Transport(memory.Transport):
    """Ours."""


class Connection(kombu.Connection):
    def get_transport_cls(self):
        return Transport


class Messages(AMQP):
    Connection = Connection


print(f"kombu {kombu.__version__}, celery {celery.__version__}")
connection = Connection("memory://")
found = {"clone": type(connection.clone().transport) is Transport}
with connection.Pool(limit=1).acquire(block=True) as pooled:
    found["pool"] = type(pooled.transport) is Transport
with producers[connection].acquire(block=True) as producer:
    found["producer"] = type(producer.connection.transport) is Transport
app = celery.Celery(broker="memory://", amqp=Messages)
with app.connection_for_read() as reading:
    found["celery reads"] = type(reading.transport) is Transport
with app.producer_pool.acquire(block=True) as sending:
    found["celery sends"] = type(sending.connection.transport) is Transport
print(f"by the subclass: {found}")
wanted = {"clone": True, "pool": False, "producer": False, "celery reads": True, "celery sends": False}
raise SystemExit(0 if found == wanted else "the behaviour changed")
PY
