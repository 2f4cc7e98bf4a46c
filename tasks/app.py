"""The Celery application: how messages are written, routed, acknowledged and given back. No task body lives here."""

import socket
from typing import Any, Final

import celery

#: Longer than any task: a message is delivered again after this, and by then rescue has long taken over.
_VISIBILITY_S = 3600

#: A Redis that died without a word, as with its machine, is let go after 25 seconds: Linux would wait for a quarter of
#: an hour, and with the thread that sends all others that have something to send. Elsewhere some of these are missing.
_PATIENCE: Final = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 25_000}
_LETS_GO: Final = {
    "socket_keepalive": True,
    "socket_keepalive_options": {
        getattr(socket, name): value for name, value in _PATIENCE.items() if hasattr(socket, name)
    },
    "socket_connect_timeout": 10,
}


def make_app(broker_url: str) -> "celery.Celery":
    """A configured application without tasks; `tasks.bodies` adds those of a role."""
    app = celery.Celery("likeness", broker=broker_url, amqp="tasks.transport:Messages", set_as_current=False)
    app.conf.update(
        broker_use_ssl=_tls(broker_url),
        task_serializer="json",
        accept_content=["json"],
        # State is in Postgres; a result backend would hold it twice, and grow.
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_create_missing_queues=True,
        task_default_queue="io.tick",
        broker_connection_retry_on_startup=True,
        broker_transport_options={
            "visibility_timeout": _VISIBILITY_S,
            **_LETS_GO,
            "health_check_interval": 10,
            # Nobody gives a message a priority, and a queue is asked for at each step there is.
            "priority_steps": [0],
        },
        result_backend_transport_options={"visibility_timeout": _VISIBILITY_S},
        visibility_timeout=_VISIBILITY_S,
        broker_pool_limit=32,
        broker_pool_acquire_timeout=10,
        worker_consumer="tasks.consumer:LaneConsumer",
        # A worker told to stop finishes what it runs and gives the rest back; what takes longer is given back too.
        worker_soft_shutdown_timeout=20,
        worker_enable_soft_shutdown_on_idle=True,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_eta_task_limit=2000,
        worker_send_task_events=True,
        task_send_sent_event=True,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_proc_alive_timeout=60,
        timezone="UTC",
    )
    return app


def _tls(broker_url: str) -> dict[str, Any] | None:
    """The options of TLS that an address asks for; None for one without TLS.

    Flower reads them nowhere else, and without any kombu would trust whatever certificate it is shown.
    """
    if not broker_url.startswith("rediss://"):
        return None
    from redis.connection import parse_url

    said: dict[str, Any] = parse_url(broker_url)  # type: ignore[no-untyped-call]  # redis-py leaves it without types
    asked = {name: value for name, value in said.items() if name.startswith("ssl_")}
    return {"ssl_cert_reqs": "required", **asked}
