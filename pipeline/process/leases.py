"""Leases of this process: made for a claim, renewed by one thread while the work goes on, dropped at its end."""

import contextlib
import logging
import os
import socket
import threading
import uuid
from collections.abc import Iterator

from db.moves import rescue
from db.reads.work import Lease
from db.session import Database
from domain.ids import LeaseToken

log = logging.getLogger(__name__)


class Leases:
    """Hands out leases and keeps those in use alive; one per process.

    Args:
        seconds: life of a lease from its claim or last renewal; renewed after a third of it.
    """

    def __init__(self, database: Database, *, seconds: float = 30.0) -> None:
        self.seconds = seconds
        self._database = database
        self._holder = f"{socket.gethostname()}:{os.getpid()}"
        self._held: set[LeaseToken] = set()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._renewer: threading.Thread | None = None

    def new(self) -> Lease:
        """A lease nobody has used yet."""
        holder = f"{self._holder}:{threading.get_ident()}"
        return Lease(token=LeaseToken(uuid.uuid4()), holder=holder, seconds=self.seconds)

    @contextlib.contextmanager
    def held(self, lease: Lease) -> Iterator[None]:
        """Keep `lease` from running out inside the block; enter it only once the claim is committed."""
        with self._lock:
            self._held.add(lease.token)
            if self._renewer is None:
                self._renewer = threading.Thread(target=self._renew, name="lease-renewer", daemon=True)
                self._renewer.start()
        try:
            yield
        finally:
            with self._lock:
                self._held.discard(lease.token)

    def close(self) -> None:
        """Renew nothing any more; leases still in use run out by themselves."""
        self._closing.set()
        if self._renewer is not None:
            self._renewer.join(timeout=5)

    def _renew(self) -> None:
        while not self._closing.wait(self.seconds / 3):
            with self._lock:
                tokens = list(self._held)
            if tokens:
                self._renew_once(tokens)

    def _renew_once(self, tokens: list[LeaseToken]) -> None:
        try:
            with self._database.transaction() as connection:
                rescue.renew(connection, tokens, seconds=self.seconds)
        except Exception:  # the top of a thread: while Postgres is away the next round tries again
            log.warning("leases could not be renewed; they run out if this lasts", exc_info=True)
