"""Defines what a webhook says and what a job tells of its request; knows which address can be called back.

A webhook is never believed: it makes a row due, or names a candidate for a doubt, and the poll decides.
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A webhook as far as its wire can vouch for it.

    Args:
        job_id: the job it names, or None where the body names none.
        event_id: the service's own name for the event, the same over all its tries; None where the wire has none.
        signed: whether the service's signature was checked; otherwise the token in the address is all the proof.
    """

    job_id: str | None
    event_id: str | None = None
    signed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Unproven:
    """A webhook that does not come from the service, or nobody can tell.

    Args:
        why: for the log and not for the sender.
    """

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a job itself tells of the request that made it.

    Args:
        prompt: comparable with `Adapter.prompt_text`; None where the service does not say it any more.
        hook_url: where the service was asked to call back, or None where it does not say.
    """

    prompt: str | None
    hook_url: str | None


class CalledBack(Protocol):
    """The part of `providers.contract.Lane` that is about webhooks."""

    def read_webhook(self, headers: Mapping[str, str], content: bytes) -> Notice | Unproven:
        """What a webhook for this lane says; names of `headers` in lower case.

        Raises:
            ProviderError: its signature cannot be checked now.
        """
        ...

    def prepare_webhooks(self) -> None:
        """Have at hand what `read_webhook` needs.

        Raises:
            ProviderError: the service did not give it.
        """
        ...

    def told_by(self, job_id: str) -> Told | None:
        """What a job of this account tells of its request, None where no wire says so; raises as `Lane.poll`."""
        ...


def is_local(url: str) -> bool:
    """Whether `url` leads to the machine it is used on."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def can_call_back(service_url: str, hook_url: str) -> bool:
    """Whether a service at `service_url` could reach `hook_url`: a local address is for a stand-in on this machine."""
    return not is_local(hook_url) or is_local(service_url)
