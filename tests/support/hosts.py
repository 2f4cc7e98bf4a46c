"""Several hosts on one machine: network namespaces, each with an address of its own, behind one router.

Processes are started on a host by `Network.command`, or inside `Network.inside`; `Network.cut` takes a host's link away
and gives it back. Only Linux has namespaces, and only root may make them.
"""

import ctypes
import errno
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import pytest

_CLONE_NEWNET: Final = 0x40000000
_FORBIDDEN: Final = frozenset({errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EINVAL})
_OWN: Final = Path("/proc/thread-self/ns/net")
_NAMED: Final = Path("/run/netns")
_PROBE: Final = (
    "import ctypes; libc = ctypes.CDLL(None, use_errno=True);"
    f" print(ctypes.get_errno() if libc.unshare({_CLONE_NEWNET}) else 0)"
)


def require_namespaces() -> None:
    """Skips where the kernel forbids network namespaces; fails where only the programs are missing."""
    if sys.platform != "linux":
        pytest.skip(f"network namespaces are Linux's, and this is {sys.platform}")
    said = subprocess.run([sys.executable, "-c", _PROBE], capture_output=True, text=True, check=True)
    number = int(said.stdout)
    if number in _FORBIDDEN:
        pytest.skip(f"the kernel forbids network namespaces here: {os.strerror(number)}")
    for program in ("ip", "nsenter"):
        if shutil.which(program) is None:
            pytest.fail(
                f"namespaces could be made here, but there is no program {program!r}: install iproute2, util-linux"
            )


class Network:
    """Hosts by name, each with one link to a router of their own; this machine's network is not touched."""

    def __init__(self, hosts: Sequence[str]) -> None:
        self._names = {host: f"lk{os.getpid()}-{number}" for number, host in enumerate(hosts, start=1)}
        self._router = f"lk{os.getpid()}-r"

    def address(self, host: str) -> str:
        return f"10.77.{self._number(host)}.2"

    def command(self, host: str, argv: Sequence[str]) -> tuple[str, ...]:
        """The command, to be run on that host; it keeps its process id and its open files."""
        return ("nsenter", f"--net={_NAMED / self._names[host]}", "--", *argv)

    @contextmanager
    def inside(self, host: str) -> Iterator[None]:
        """This thread, and every process and thread that it starts, is on that host until the block ends."""
        before = os.open(_OWN, os.O_RDONLY)
        try:
            _enter(_NAMED / self._names[host])
            yield
        finally:
            _set(before)
            os.close(before)

    @contextmanager
    def cut(self, host: str, *, silently: bool) -> Iterator[None]:
        """The link of a host is away until the block ends.

        Args:
            silently: what is sent to the host vanishes, though what it sends arrives: replies are lost. Otherwise the
                link is down, and others are told that there is no way.
        """
        away, back = self._ways(host, silently=silently)
        _ip("-n", self._router, *away)
        try:
            yield
        finally:
            _ip("-n", self._router, *back)

    def reaches(self, host: str, address: tuple[str, int]) -> bool:
        """Whether a connection from that host to the address can be made within a second."""
        found: list[bool] = []

        def look() -> None:
            with self.inside(host):
                try:
                    socket.create_connection(address, timeout=1.0).close()
                    found.append(True)
                except OSError:
                    found.append(False)

        looking = threading.Thread(target=look)
        looking.start()
        looking.join()
        return found == [True]

    def build(self) -> None:
        for name in (self._router, *self._names.values()):
            _ip("netns", "add", name)
            _ip("-n", name, "link", "set", "lo", "up")
        _ip("netns", "exec", self._router, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        for host, name in self._names.items():
            link, gateway = self._link(host), f"10.77.{self._number(host)}.1"
            _ip("-n", self._router, "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", name)
            _ip("-n", self._router, "address", "add", f"{gateway}/24", "dev", link)
            _ip("-n", self._router, "link", "set", link, "up")
            _ip("-n", name, "address", "add", f"{self.address(host)}/24", "dev", "eth0")
            _ip("-n", name, "link", "set", "eth0", "up")
            _ip("-n", name, "route", "add", "default", "via", gateway)

    def remove(self) -> None:
        for name in (*self._names.values(), self._router):
            with suppress(subprocess.CalledProcessError):
                _ip("netns", "delete", name)

    def _ways(self, host: str, *, silently: bool) -> tuple[Sequence[str], Sequence[str]]:
        if silently:
            hole = ("blackhole", f"{self.address(host)}/32")
            return ("route", "add", *hole), ("route", "delete", *hole)
        return ("link", "set", self._link(host), "down"), ("link", "set", self._link(host), "up")

    def _number(self, host: str) -> int:
        return list(self._names).index(host) + 1

    def _link(self, host: str) -> str:
        return f"to-{self._number(host)}"


@contextmanager
def network_of(*hosts: str) -> Iterator[Network]:
    """A network of these hosts until the block ends; whoever started processes there has ended them by then."""
    require_namespaces()
    network = Network(hosts)
    try:
        network.build()
        yield network
    finally:
        network.remove()


@contextmanager
def served_at(network: Network, host: str, *, port: int) -> Iterator[tuple[str, int]]:
    """On that host, its address passes connections on to a server that listens on its loopback at `port`."""
    address = (network.address(host), port)
    passing = (sys.executable, str(Path(__file__).with_name("relay.py")), *map(str, address), str(port))
    relay = subprocess.Popen(network.command(host, passing))
    try:
        deadline = time.monotonic() + 30
        while not network.reaches(host, address):
            assert time.monotonic() < deadline, f"nothing listens at {address}"
            assert relay.poll() is None, f"the relay at {address} ended with {relay.returncode}"
        yield address
    finally:
        relay.terminate()
        relay.wait(timeout=30)


def _enter(namespace: Path) -> None:
    descriptor = os.open(namespace, os.O_RDONLY)
    try:
        _set(descriptor)
    finally:
        os.close(descriptor)


def _set(descriptor: int) -> None:
    # `os.setns` came with Python 3.12.
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, _CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"ip {' '.join(arguments)}: {done.stderr.strip()}", file=sys.stderr)
        done.check_returncode()
