"""Bounds every network operation by its call's own deadline.

HTTP libraries bound each read and each write by itself, so a peer that sends one byte now and then keeps
a call alive for ever; looking a name up is not bounded at all, and several addresses multiply the wait.
Here all of them share one deadline, and no byte of a request leaves after the moment until which it may.
Nothing in this module knows of HTTP.
"""

import ipaddress
import math
import queue
import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import httpcore2

from providers.transport.clock import running_s

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

#: Small enough that a deadline is looked at often while a large body is written.
_WRITE_CHUNK = 64 * 1024


class AddressRefused(Exception):
    """The host's name leads to an address at which this client may not knock."""


@dataclass(slots=True)
class CallTime:
    """The time one call has, and whether any of its request has left.

    Args:
        connect_by: on `providers.transport.clock`; a request that has not begun to leave by then never leaves.
        end_by: likewise; nothing is waited for beyond it.
        wrote: True from just before the first byte of the request is handed to the kernel.
    """

    connect_by: float
    end_by: float
    wrote: bool = False

    @classmethod
    def starting_now(cls, *, total_s: float, connect_s: float, begin_by: float = math.inf) -> "CallTime":
        """The time of a call that may begin to leave for `connect_s` seconds, and not after `begin_by`."""
        now = running_s()
        return cls(connect_by=min(now + min(connect_s, total_s), begin_by), end_by=now + total_s)


# A context variable: httpcore2 hands a backend nothing of the request, and runs it in the caller's own thread.
_CURRENT: ContextVar[CallTime] = ContextVar("call_time")


@contextmanager
def within(call_time: CallTime) -> Iterator[None]:
    """Bind whatever this thread sends and reads inside the block to `call_time`."""
    token = _CURRENT.set(call_time)
    try:
        yield
    finally:
        _CURRENT.reset(token)


class DeadlineBackend(httpcore2.NetworkBackend):
    """Connects and talks within the current `CallTime`; the timeouts it is handed are ignored.

    Args:
        allowed: asked for every address before a packet goes there, after the name was looked up, so that a
            name that changes its mind between check and use gains nothing. None allows all.
    """

    def __init__(self, *, allowed: Callable[[Address], bool] | None = None) -> None:
        self._allowed = allowed

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        del timeout, local_address, socket_options
        connect_by = _CURRENT.get().connect_by
        addresses = addresses_of(host, port, by=connect_by)
        if self._allowed is not None:
            for address in addresses:
                if not self._allowed(address):
                    raise AddressRefused(f"{host} leads to {address}")
        return _Stream(_connect(addresses, port, by=connect_by))


def addresses_of(host: str, port: int, *, by: float) -> list[Address]:
    """Every address of `host`, in the resolver's order.

    Raises:
        httpcore2.ConnectTimeout: the resolver has not answered by `by`.
        httpcore2.ConnectError: it knows no such name.
    """
    try:
        return [ipaddress.ip_address(host)]
    except ValueError:
        pass
    answer: queue.SimpleQueue[list[str] | OSError | UnicodeError] = queue.SimpleQueue()

    def look_up() -> None:
        try:
            answer.put([str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)])
        except (OSError, UnicodeError) as failure:
            answer.put(failure)

    # A thread of its own: the C library's resolver takes no deadline and cannot be interrupted.
    threading.Thread(target=look_up, name=f"resolve {host}", daemon=True).start()
    try:
        found = answer.get(timeout=max(0.0, by - running_s()))
    except queue.Empty:
        raise httpcore2.ConnectTimeout(f"the name {host} was not resolved in time") from None
    if isinstance(found, OSError | UnicodeError):
        raise httpcore2.ConnectError(f"the name {host} cannot be resolved") from found
    return [ipaddress.ip_address(text) for text in dict.fromkeys(found)]


def _connect(addresses: list[Address], port: int, *, by: float) -> socket.socket:
    """A connection to the first address that answers; each gets an equal share of the time left."""
    last: OSError = TimeoutError("no address was tried")
    for index, address in enumerate(addresses):
        share_s = (by - running_s()) / (len(addresses) - index)
        if share_s <= 0:
            raise httpcore2.ConnectTimeout("not connected in time") from last
        try:
            return _connected(address, port, within_s=share_s)
        except OSError as failure:
            last = failure
    kind = httpcore2.ConnectTimeout if isinstance(last, TimeoutError) else httpcore2.ConnectError
    raise kind(str(last)) from last


def _connected(address: Address, port: int, *, within_s: float) -> socket.socket:
    connection = socket.create_connection((str(address), port), within_s)
    try:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError:  # macOS refuses options on a connection that the peer has reset already
        connection.close()
        raise
    return connection


class _Stream(httpcore2.NetworkStream):
    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        del timeout
        try:
            self._wait_until(_CURRENT.get().end_by)
            return self._connection.recv(max_bytes)
        except TimeoutError as failure:
            raise httpcore2.ReadTimeout(str(failure)) from failure
        except OSError as failure:
            raise httpcore2.ReadError(str(failure)) from failure

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        del timeout
        call_time = _CURRENT.get()
        if not call_time.wrote and running_s() >= call_time.connect_by:
            raise httpcore2.ConnectTimeout("connected too late to begin the request")
        left = memoryview(buffer)
        try:
            while left:
                self._wait_until(call_time.end_by)
                call_time.wrote = True
                left = left[self._connection.send(left[:_WRITE_CHUNK]) :]
        except TimeoutError as failure:
            raise httpcore2.WriteTimeout(str(failure)) from failure
        except OSError as failure:
            raise httpcore2.WriteError(str(failure)) from failure

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        del timeout
        try:
            self._wait_until(_CURRENT.get().connect_by)
            return _Stream(ssl_context.wrap_socket(self._connection, server_hostname=server_hostname))
        except TimeoutError as failure:
            self.close()
            raise httpcore2.ConnectTimeout(str(failure)) from failure
        except OSError as failure:
            self.close()
            raise httpcore2.ConnectError(str(failure)) from failure

    def close(self) -> None:
        self._connection.close()

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":
            return _is_readable(self._connection)
        if info == "ssl_object" and isinstance(self._connection, ssl.SSLSocket):
            return self._connection
        return None

    def _wait_until(self, moment: float) -> None:
        left_s = moment - running_s()
        if left_s <= 0:
            raise TimeoutError("the call's time is over")
        self._connection.settimeout(left_s)


def _is_readable(connection: socket.socket) -> bool:
    """Whether a read would return at once; on an idle connection that means the peer has closed it."""
    if connection.fileno() < 0:
        return True
    # poll, since select refuses descriptors above 1023.
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(0))
