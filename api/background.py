"""What the API process does beside answering: it numbers events, sends webhooks and finishes deletions.

Several API processes may do so at once; each piece of work is taken by one of them.
"""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from api.event_stream import Hub
from domain.errors import LikenessError
from pipeline.operator import deletion, events, webhook_delivery
from pipeline.resources import Resources
from providers.transport.outgoing import WebhookSender

log = logging.getLogger(__name__)

_EVENTS_S: Final = 0.25
_WEBHOOKS_S: Final = 0.5
_DELETIONS_S: Final = 2.0
_REVOKED_S: Final = 5.0
_HOURLY_S: Final = 3600.0
#: After a failure, so that a database that is away is not asked four times a second.
_PAUSE_S: Final = 5.0
_SENDERS: Final = 8


class Background:
    """Threads that are started with the server and end with it."""

    def __init__(self, resources: Resources, hub: Hub, *, sender: WebhookSender) -> None:
        self._resources = resources
        self._hub = hub
        self._sender = sender
        self._enough = threading.Event()
        self._pool = ThreadPoolExecutor(_SENDERS, thread_name_prefix="webhook")
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        for name, step, period_s in (
            ("want events", lambda: events.want(self._resources), _HOURLY_S),
            ("events", self._hub.read, _EVENTS_S),
            ("revoked keys", self._hub.look_for_revoked, _REVOKED_S),
            ("webhooks", self._send, _WEBHOOKS_S),
            ("deletions", lambda: deletion.finish_some(self._resources), _DELETIONS_S),
            ("old events", lambda: events.forget_old(self._resources), _HOURLY_S),
        ):
            thread = threading.Thread(target=self._repeat, args=(name, step, period_s), name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        self._enough.set()
        for thread in self._threads:
            thread.join(timeout=20)
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._sender.close()

    def _repeat(self, name: str, step: Callable[[], object], period_s: float) -> None:
        pause_s = 0.0
        while not self._enough.wait(pause_s):
            pause_s = period_s
            try:
                step()
            except LikenessError as failure:
                log.warning("%s: %s", name, failure)
                pause_s = min(_PAUSE_S, max(period_s, _PAUSE_S))
            except Exception:
                # A thread that ended would take webhooks or events with it until the process is started anew.
                log.exception("%s: a defect; it is tried again", name)
                pause_s = _PAUSE_S

    def _send(self) -> None:
        """Send what is due; several receivers at once, so that a slow one holds up nobody else."""
        claimed = webhook_delivery.claim(self._resources)
        sent = [
            self._pool.submit(webhook_delivery.deliver, self._resources, webhook, send=self._sender.send)
            for webhook in claimed
        ]
        for one in sent:
            one.result()
