"""Telling a batch's receiver what happens: each event at least once, in order, for a day of failures.

Source of the signature and of the retries: github standard-webhooks/standard-webhooks, spec/standard-webhooks.md.
"""

import json
import logging
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from db.records import batch_webhooks, events
from db.records.batch_webhooks import WebhookRow
from db.records.events import Event
from domain.errors import ProviderError, UnknownThing
from domain.ids import BatchId
from pipeline.resources import Resources

__all__ = ["Send", "WebhookRow", "claim", "deliver", "of", "replay", "subscribe"]

log = logging.getLogger(__name__)

_AT_ONCE: Final = 16
_EVENTS: Final = 50
#: Longer than the sending of so many events can take.
_LEASE: Final = timedelta(minutes=15)
_FIRST_WAIT_S: Final = 5.0
_LONGEST_WAIT_S: Final = 1800.0
_PATIENCE: Final = timedelta(hours=24)


class Send(Protocol):
    """Delivers one message.

    Raises:
        ProviderError: it was not taken.
    """

    def __call__(self, url: str, *, secret: str, message_id: str, content: bytes) -> None: ...


def subscribe(resources: Resources, batch_id: BatchId, *, team: str, url: str, new_secret: str) -> str:
    """Send the batch's events to `url` from its first one on; returns the secret that signs them.

    Args:
        new_secret: for a batch without a receiver; one that has one keeps its secret.
    """
    with resources.database.transaction() as connection:
        known = batch_webhooks.of(connection, batch_id)
        secret = new_secret if known is None else known.secret
        batch_webhooks.put(connection, batch_id=batch_id, team=team, url=url, secret=secret)
    return secret


def of(resources: Resources, batch_id: BatchId) -> WebhookRow | None:
    with resources.database.transaction() as connection:
        return batch_webhooks.of(connection, batch_id)


def replay(resources: Resources, batch_id: BatchId, *, after: int = 0) -> WebhookRow:
    """Send everything after event number `after` once more, also what was taken, and also after giving up.

    Raises:
        UnknownThing: nobody is told of this batch.
    """
    with resources.database.transaction() as connection:
        if batch_webhooks.of(connection, batch_id) is None:
            raise UnknownThing(f"batch {batch_id} has no webhook")
        batch_webhooks.replay(connection, batch_id, after=after)
        found = batch_webhooks.of(connection, batch_id)
    assert found is not None
    return found


def claim(resources: Resources) -> list[WebhookRow]:
    """Receivers to whom something is to be sent now; whoever claimed them calls `deliver` for each."""
    with resources.database.transaction() as connection:
        return batch_webhooks.claim(connection, limit=_AT_ONCE, lease=_LEASE)


def deliver(resources: Resources, webhook: WebhookRow, *, send: Send) -> int:
    """Send what waits for one receiver, in order, until one event is not taken; returns how many were."""
    with resources.database.transaction() as connection:
        waiting = events.after(connection, webhook.team, webhook.delivered, limit=_EVENTS, batch_id=webhook.batch_id)
    for taken, event in enumerate(waiting):
        try:
            send(webhook.url, secret=webhook.secret, message_id=message_id(event), content=content_of(event))
        except ProviderError as failure:
            _note_failure(resources, webhook, tries=0 if taken else webhook.tries, error=str(failure))
            return taken
        with resources.database.transaction() as connection:
            last = waiting[taken - 1].number if taken else webhook.delivered
            if not batch_webhooks.delivered(connection, webhook.batch_id, event.number, before=last):
                return taken + 1
    with resources.database.transaction() as connection:
        batch_webhooks.free(connection, webhook.batch_id)
    return len(waiting)


def message_id(event: Event) -> str:
    """The same at every try, so that a receiver knows a repetition."""
    return f"msg_{event.batch_id.hex}_{event.number}"


def content_of(event: Event) -> bytes:
    document = {"type": event.type, "timestamp": event.at.isoformat(), "number": event.number, "data": dict(event.data)}
    return json.dumps(document, ensure_ascii=False).encode()


def _note_failure(resources: Resources, webhook: WebhookRow, *, tries: int, error: str) -> None:
    wait = timedelta(seconds=min(_FIRST_WAIT_S * 2**tries, _LONGEST_WAIT_S) * (0.75 + resources.jitter() / 2))
    since = webhook.failing_since if tries else None
    give_up = since is not None and datetime.now(UTC) - since > _PATIENCE
    if give_up:
        log.warning("the webhook of batch %s is given up after a day of failures: %s", webhook.batch_id, error)
    with resources.database.transaction() as connection:
        batch_webhooks.failed(connection, webhook.batch_id, error=error, wait=wait, give_up=give_up)
