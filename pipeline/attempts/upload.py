"""Bring to the bucket what is kept on this machine: what was stored while the bucket was away, or before there was one.

Pictures with the grids they were cut from, and characters' references. One is claimed for a while, published under its
own digest, and marked; whoever dies in between has lost nothing.
"""

import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Final

from db.records import uploads
from db.records.uploads import Waiting
from domain.errors import LikenessError
from pipeline.resources import Resources
from storage.base import PictureStore, StoreAway, Stored

log = logging.getLogger(__name__)

_THREADS: Final = 8
_PAGE: Final = 64
_READDRESSED: Final = 5_000
#: Shorter than the tick's period, so that ticks do not pile up behind a long backlog.
_ROUND_S: Final = 8.0
#: Longer than a page takes; also how long a picture rests that only another machine can bring.
_AGAIN_AFTER: Final = timedelta(seconds=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tried:
    """What became of one claimed picture, and of its grid.

    Args:
        stored: where it is now, or None.
        give_back: nothing is known against it; it waits for the bucket alone.
    """

    waiting: Waiting
    stored: Stored | None = None
    give_back: bool = False


def upload(resources: Resources) -> int:
    """One round; returns how many pictures are in the bucket now that were not known to be there."""
    if not resources.store.publishes:
        return 0
    until = time.monotonic() + _ROUND_S
    done = 0
    with ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="upload") as pool:
        while True:
            with resources.database.transaction() as connection:
                page = uploads.claim(connection, size=_PAGE, again_after=_AGAIN_AFTER)
            away = threading.Event()
            done += _note(resources, list(pool.map(partial(_publish, resources.store, away), page)))
            if away.is_set() or len(page) < _PAGE or time.monotonic() > until:
                return done


def readdress(resources: Resources) -> int:
    """Give pictures in the bucket the public address that it has today; returns how many had none, or another.

    For a worker that starts: an address that was set or changed since holds for what was stored before, too.
    """
    base = resources.store.public_base
    if base is None:
        return 0
    done = 0
    while True:
        with resources.database.transaction() as connection:
            changed = uploads.readdress(connection, base, size=_READDRESSED)
        done += changed
        if changed < _READDRESSED:
            return done


def _publish(store: PictureStore, away: threading.Event, waiting: Waiting) -> _Tried:
    if away.is_set():
        # One wait for a bucket that does not answer is enough.
        return _Tried(waiting=waiting, give_back=True)
    try:
        stored = store.publish(waiting.r2_key)
        if waiting.grid_key is not None:
            store.publish(waiting.grid_key)
        return _Tried(waiting=waiting, stored=stored)
    except StoreAway as failure:
        if not away.is_set():
            log.warning("pictures wait on this machine for the bucket: %s", failure)
        away.set()
        return _Tried(waiting=waiting, give_back=True)
    except FileNotFoundError:
        log.info("%s is not whole on this machine; the one that has it will upload it", waiting.r2_key)
    except (LikenessError, OSError) as failure:
        log.warning("%s cannot be uploaded: %s", waiting.r2_key, failure)
    return _Tried(waiting=waiting)


def _note(resources: Resources, tried: Sequence[_Tried]) -> int:
    found = {
        one.waiting: (one.stored.url, one.stored.uploaded_at)
        for one in tried
        if one.stored is not None and one.stored.uploaded_at is not None
    }
    with resources.database.transaction() as connection:
        uploads.mark_uploaded(connection, found)
        uploads.give_back(connection, [one.waiting for one in tried if one.give_back])
    return len(found)
