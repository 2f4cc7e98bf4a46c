"""Replies that are the result itself: kept in the store before anything else, then booked; found again after a death.

The picture goes under its own digest, where collecting would put it anyway; beside it a note under the attempt's id
says which pictures they are and what was charged. Whoever dies between the note and the books has lost nothing: the
attempt goes on by the note, from doubt or without one.
"""

import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from db.moves import doubts, late_discovery, submission
from db.reads.work import Work
from domain.errors import LostRace, MaybeSent, PictureAway, PictureLost
from domain.ids import AttemptId, LeaseToken
from domain.picture_types import picture_type
from pipeline.attempts.admit import admit
from pipeline.attempts.late_discovery import looked
from pipeline.resources import Resources
from providers.charges import believable_usd
from providers.contract import Delivered
from storage.base import StoreAway

log = logging.getLogger(__name__)

#: The reply is in this process alone until it is kept; the lease is renewed meanwhile.
_KEEP_TRYING_S: Final = 120.0
_PAUSE_S: Final = 0.5
_ENDINGS: Final = {"png": "png", "jpeg": "jpg", "webp": "webp"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A reply that is safely in the store.

    Args:
        keys: of its pictures, in the service's order.
        picture_urls: where they still have to be fetched, for a service that answers with addresses.
        charged_usd: what the service says it charged, or None where it does not say.
    """

    keys: Sequence[str]
    picture_urls: Sequence[str]
    charged_usd: Decimal | None
    request_id: str | None
    detail: Mapping[str, Any]


def keep(resources: Resources, attempt_id: AttemptId, delivered: Delivered) -> Kept:
    """Put the reply into the store.

    Raises:
        MaybeSent: the store is not to be had; the reply dies with this process, and a person has to know.
    """
    until = time.monotonic() + _KEEP_TRYING_S
    while True:
        try:
            return _keep_once(resources, attempt_id, delivered)
        except OSError as error:
            if time.monotonic() > until:
                said = f"the reply came and was billed, and the picture store of this worker failed: {error}"
                raise MaybeSent(said) from error
            log.warning("the reply to attempt %s cannot be stored yet: %s", attempt_id, error)
            time.sleep(_PAUSE_S)


def _keep_once(resources: Resources, attempt_id: AttemptId, delivered: Delivered) -> Kept:
    keys = [resources.store.put(content, ending=_ending(content)).key for content in delivered.pictures]
    kept = Kept(
        keys=keys,
        picture_urls=list(delivered.picture_urls),
        charged_usd=delivered.charged_usd,
        request_id=delivered.request_id,
        detail=delivered.detail,
    )
    note = {
        "keys": keys,
        "picture_urls": list(kept.picture_urls),
        "charged_usd": None if kept.charged_usd is None else str(kept.charged_usd),
        "request_id": kept.request_id,
        "detail": dict(kept.detail),
    }
    resources.store.put_reply(attempt_id, json.dumps(note).encode())
    return kept


def _ending(content: bytes) -> str:
    return _ENDINGS.get(picture_type(content) or "", "bin")


def book(resources: Resources, work: Work, kept: Kept, *, token: LeaseToken | None) -> bool:
    """Charge the attempt and hand it on to be collected; False where its doubt was settled otherwise.

    Args:
        token: of the lease under which the reply came, or None for one that was found in the store.
    """
    try:
        resources.database.insist(
            lambda connection: submission.delivered(connection, work.attempt_id, token=token, **_told(work, kept)),
            seconds=60,
        )
    except LostRace:
        if token is not None:
            # The lease ran out on the way and rescue put the attempt in doubt; here is the answer to the doubt.
            return book(resources, work, kept, token=None)
        if not _book_late(resources, work, kept):
            return False
    resources.dispatch.collect(attempt_id=work.attempt_id, generation_id=work.generation_id)
    admit(resources, work.provider)
    return True


def _book_late(resources: Resources, work: Work, kept: Kept) -> bool:
    """The doubt was settled meanwhile; whether it was settled as lost, and the reply is taken up all the same."""
    try:
        kind = resources.database.insist(
            lambda connection: late_discovery.delivered(connection, work.attempt_id, **_told(work, kept)), seconds=60
        )
    except LostRace as race:
        log.warning("the reply to attempt %s is not adopted: %s", work.attempt_id, race)
        return False
    log.warning("the reply to attempt %s came after its doubt was settled as lost (%s)", work.attempt_id, kind)
    return True


def _told(work: Work, kept: Kept) -> dict[str, Any]:
    """What the books are told of a reply."""
    said = kept.charged_usd is not None
    return {
        "result": {
            "reply_keys": list(kept.keys),
            "picture_urls": list(kept.picture_urls),
            "detail": dict(kept.detail),
        },
        "charged_usd": kept.charged_usd if kept.charged_usd is not None else work.price_usd,
        "said_by": "said by the provider" if said else "price of the catalogue, an estimate: the reply counts nothing",
        "request_id": kept.request_id,
    }


def adopt_stored(resources: Resources, lane_name: str) -> int:
    """Go on with what was left behind on a lane and has its reply in the store; returns how many attempts.

    One whose reply cannot be looked for now waits for the next round, and keeps nobody else from going on.
    """
    with resources.database.transaction() as connection:
        unanswered = doubts.unanswered(connection, lane_name)
        watched = late_discovery.watched(connection, lane_name)
    adopted, seen = 0, set()
    for work in [*unanswered, *watched]:
        try:
            adopted += adopt(resources, work)
            seen.add(work.attempt_id)
        except (StoreAway, PictureLost) as failure:
            log.warning("the reply to attempt %s cannot be looked for: %s", work.attempt_id, failure)
    looked(resources, [work for work in watched if work.attempt_id in seen])
    return adopted


def adopt(resources: Resources, work: Work) -> bool:
    """Whether the reply to this attempt was in the store, and is booked now.

    Raises:
        StoreAway: the store cannot be read now, so nobody knows whether it was.
        PictureLost: the reply came, and the note about it is damaged.
    """
    kept = _find(resources, work.attempt_id)
    if kept is None or not book(resources, work, kept, token=None):
        return False
    log.info("attempt %s goes on: its reply is in the store", work.attempt_id)
    return True


def _find(resources: Resources, attempt_id: AttemptId) -> Kept | None:
    """None only where the store itself says that there is nothing: any other failure proves no absence."""
    try:
        content = resources.store.get_reply(attempt_id)
    except FileNotFoundError:
        return None
    except StoreAway:
        raise
    except OSError as error:
        raise StoreAway(f"the picture store cannot say whether it has a reply to {attempt_id}: {error}") from error
    try:
        note = json.loads(content)
        charged = note["charged_usd"]
        return Kept(
            keys=[str(key) for key in note["keys"]],
            picture_urls=[str(url) for url in note.get("picture_urls", ())],
            charged_usd=None if charged is None else believable_usd(Decimal(charged), by="a reply in the store"),
            request_id=note["request_id"],
            detail=note["detail"],
        )
    except (ValueError, KeyError, TypeError, InvalidOperation) as error:
        said = f"the reply to attempt {attempt_id} came, and the note about it in the store is damaged ({error!r})"
        raise PictureLost(said) from error


def picture(resources: Resources, key: str) -> bytes:
    """A picture that came with a reply.

    Raises:
        PictureAway: the store does not have it now; a shared one may be late, or mounted wrongly.
        PictureLost: what the store has is not what came.
    """
    try:
        return resources.store.get(key)
    except FileNotFoundError as error:
        raise PictureAway(f"the store of this worker does not have {key!r}") from error
