"""Fetches pictures from addresses that somebody else chose, safely.

The address comes from a service's reply, so it may lead anywhere: into this network, to a page that calls
itself a picture, to a file without end. No credentials ever travel from here. Decoding the picture, and
deciding whether it is whole, is not done here.
"""

import base64
import binascii
import ipaddress
from typing import Final
from urllib.parse import urlsplit

import httpx2
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, stop_after_delay, wait_exponential_jitter

from domain.errors import NotAPicture, PictureAway, PictureError, PictureLost
from domain.picture_types import picture_type
from providers.transport.clock import running_s
from providers.transport.deadline import Address, AddressRefused, CallTime, DeadlineBackend, addresses_of, within
from providers.transport.http import CONNECT_S, FOREIGN, ReplyTooLarge, client, read_whole, why

MOST_BYTES: Final = 64 * 2**20
TOTAL_S: Final = 60.0
REDIRECTS: Final = 5
TRIES: Final = 3

#: Picture hosts answer 403 to the names that HTTP libraries give themselves (cdn.midjourney.com surely).
#: Source: PROVIDERS.md 6, trap 24.
BROWSER: Final = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"
#: What services are known to make.
_MADE: Final = frozenset({"png", "jpeg", "gif", "webp", "avif"})
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_THIS_NETWORK: Final = ipaddress.ip_network("0.0.0.0/8")


class PictureGuarded(PictureAway):
    """The host wants a login, or its signed address has run out: nobody else gets the picture there either."""


class PictureFetcher:
    """Fetches the pictures of one lane. Thread-safe; open it after a fork.

    Args:
        own_host: the host of the lane's base URL. Addresses inside a private network or on this machine are
            fetched only where that host is itself at such an address: a stand-in, or a service of one's own. None
            for addresses that people name: those are never fetched there.
        total_s: one try is over after this many seconds, redirects included.
        wait_s: between the first two tries; doubled for the next.
    """

    def __init__(
        self, *, own_host: str | None, total_s: float = TOTAL_S, most_bytes: int = MOST_BYTES, wait_s: float = 0.5
    ) -> None:
        self._own_host = own_host
        self._total_s = total_s
        self._most_bytes = most_bytes
        self._wait_s = wait_s
        self._client = client(
            DeadlineBackend(allowed=self._allowed),
            headers={"user-agent": BROWSER, "accept": "image/png,image/jpeg,image/webp,image/*;q=0.8"},
            connections=32,
            kept=16,
        )

    def fetch(self, url: str, *, total_s: float | None = None) -> bytes:
        """The file behind `url`, after up to three tries: a 404 or a page of HTML may be a host's first reaction only.

        Args:
            total_s: instead of the fetcher's own, for a caller who cannot wait; no try begins after it.

        Raises:
            PictureAway: not to be had now.
            PictureLost: 404, 410, or an address that is never fetched.
            NotAPicture: too large, or it does not begin like a picture.
        """
        if url.startswith("data:"):
            return self._inside(url)
        total_s = self._total_s if total_s is None else total_s
        tries = Retrying(
            stop=stop_after_attempt(TRIES) | stop_after_delay(total_s),
            wait=wait_exponential_jitter(multiplier=self._wait_s, max=4 * self._wait_s, jitter=self._wait_s / 2),
            retry=retry_if_exception_type(PictureError),
            reraise=True,
        )
        try:
            return tries(self._fetch_once, url, total_s)
        except ReplyTooLarge:
            raise NotAPicture(f"the file at {_host(url)} has more than {self._most_bytes} bytes") from None

    def close(self) -> None:
        self._client.close()

    def _inside(self, url: str) -> bytes:
        """The file that stands in its own address, in base64."""
        head, _, body = url.partition(",")
        if len(body) > self._most_bytes * 4 // 3 + 4:
            raise NotAPicture(f"the file in the reply has more than {self._most_bytes} bytes")
        try:
            content = base64.b64decode(body, validate=True) if head.endswith(";base64") else b""
        except (ValueError, binascii.Error):
            content = b""
        if picture_type(content) not in _MADE:
            raise NotAPicture(f"the reply holds a file, calls it {head[:60]!r}, and it is no picture")
        return content

    def _fetch_once(self, url: str, total_s: float) -> bytes:
        call_time = CallTime.starting_now(total_s=total_s, connect_s=CONNECT_S)
        host = _host(url)
        try:
            with within(call_time):
                for _ in range(REDIRECTS + 1):
                    host = _host(url)
                    found = self._follow(url, total_s)
                    if isinstance(found, bytes):
                        return found
                    url = found
        except AddressRefused as failure:
            raise PictureLost(f"the picture is not fetched: {failure}, inside a private network") from failure
        except FOREIGN as failure:
            raise PictureAway(f"the picture at {host} is not to be had now: {why(failure)}") from failure
        raise PictureAway(f"the picture at {host} is behind more than {REDIRECTS} redirects")

    def _follow(self, url: str, total_s: float) -> bytes | str:
        """The file, or the address to which the host redirects."""
        timeout = httpx2.Timeout(total_s, pool=CONNECT_S)
        with self._client.stream("GET", _fetchable(url), timeout=timeout) as response:
            location = response.headers.get("location")
            if response.status_code in {301, 302, 303, 307, 308} and location:
                return str(httpx2.URL(url).join(location))
            if response.status_code in {404, 410}:
                raise PictureLost(f"{_host(url)} answers {response.status_code}: the picture is no longer there")
            if response.status_code in {401, 403}:
                raise PictureGuarded(f"{_host(url)} answers {response.status_code}: it wants a login, or a fresh link")
            if response.status_code != 200:
                raise PictureAway(f"{_host(url)} answers {response.status_code} instead of the picture")
            announced = response.headers.get("content-length", "")
            if announced.isdecimal() and int(announced) > self._most_bytes:
                raise ReplyTooLarge(f"{announced} bytes")
            content = read_whole(response, at_most=self._most_bytes)
            if picture_type(content) not in _MADE:
                kind = response.headers.get("content-type", "nothing")
                raise NotAPicture(f"{_host(url)} calls it {kind!r}, and its first bytes are no picture's")
            return content

    def _allowed(self, address: Address) -> bool:
        if is_public(address):
            return True
        return is_local(address) and self._own_host_is_local()

    def _own_host_is_local(self) -> bool:
        """Asked at every use, since names move: a base URL of today's public host must not open the network."""
        if self._own_host is None:
            return False
        own = addresses_of(self._own_host, 80, by=running_s() + CONNECT_S)
        return all(is_local(address) for address in own)


def is_public(address: Address) -> bool:
    """Whether `address` is reached over the Internet, looking through addresses that wrap another."""
    address = _unwrapped(address)
    if isinstance(address, ipaddress.IPv6Address) and (address.sixtofour or address.teredo):
        return False
    return address.is_global and not address.is_multicast


def is_local(address: Address) -> bool:
    """Whether `address` is this machine or an ordinary one in its network.

    Link-local ones are neither: cloud machines keep their credentials at 169.254.169.254.
    """
    address = _unwrapped(address)
    never = address.is_link_local or address.is_multicast or address.is_unspecified
    return not (never or is_public(address) or (address.is_reserved and not address.is_loopback)) and not (
        isinstance(address, ipaddress.IPv4Address) and address in _THIS_NETWORK
    )


def _unwrapped(address: Address) -> Address:
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _fetchable(url: str) -> str:
    try:
        parts = urlsplit(url)
        fit = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.username is None
    except ValueError:
        fit = False
    if not fit:
        # Not quoted: it may hold credentials.
        raise PictureLost("the picture's address is no plain http(s) address, and is not fetched")
    return url


def _host(url: str) -> str:
    try:
        host = urlsplit(url).hostname
    except ValueError:
        host = None
    return host or "an address without a host"
