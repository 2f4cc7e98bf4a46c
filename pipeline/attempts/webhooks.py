"""A webhook came: prove who sent it, keep it once, make its job due now. What it says is not believed.

No task is published: beat has every lane swept each second, the sweep finds what is due, and so the answer waits for
one short transaction and for no broker, and a thousand webhooks cause one sweep and not a thousand.
"""

import hashlib
import logging
from collections.abc import Mapping
from datetime import timedelta

from db.moves import webhooks
from db.moves.webhooks import Taken
from domain.errors import ProviderError
from pipeline.resources import Resources
from providers.webhooks import Unproven

log = logging.getLogger(__name__)

#: A service delivers an event again for a minute, and its signature is good for five; the rest is for people.
_KEPT = timedelta(days=7)


def receive(resources: Resources, lane_name: str, token: str, *, headers: Mapping[str, str], content: bytes) -> bool:
    """Whether the webhook is authentic; one that is not changes nothing, and the log does not hold its token.

    Harmless when repeated, however often and however late.

    Args:
        headers: names in lower case.

    Raises:
        ProviderError: its signature cannot be checked now; the sender should try again.
        ServiceMissing: there is no database now; likewise.
    """
    lane = resources.lanes.get(lane_name)
    if lane is None:
        log.warning("a webhook was refused: there is no such lane here")
        return False
    notice = lane.read_webhook(headers, content)
    if isinstance(notice, Unproven):
        log.warning("a webhook for lane %s was refused: %s", lane_name, notice.why)
        return False
    with resources.database.transaction() as connection:
        taken = webhooks.received(
            connection,
            lane=lane_name,
            token=token,
            event_id=notice.event_id or _digest(token, content),
            job_id=notice.job_id,
            signed=notice.signed,
        )
    if taken is Taken.UNKNOWN:
        log.warning("a webhook for lane %s was refused: %s", lane_name, taken)
        return False
    log.info("a webhook for lane %s names job %s: %s", lane_name, notice.job_id, taken)
    return True


def _digest(token: str, content: bytes) -> str:
    """A name for an event whose wire gives it none: the same body for the same attempt is the same event."""
    return hashlib.sha256(token.encode("utf-8", "replace") + b"\n" + content).hexdigest()


def prepare(resources: Resources) -> None:
    """Have every lane's secret at hand before the first webhook; what is missing is asked for again when one comes."""
    for name, lane in resources.lanes.items():
        try:
            lane.prepare_webhooks()
        except ProviderError as failure:
            log.warning("webhooks for lane %s cannot be checked yet: %s", name, failure)


def forget(resources: Resources) -> int:
    """Drop the webhooks of the week before; returns how many."""
    with resources.database.transaction() as connection:
        return webhooks.forget(connection, older_than=_KEPT)
