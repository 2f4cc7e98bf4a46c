"""Knows which service speaks which wire, and opens lanes to it."""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from domain.errors import UnknownThing
from providers.adapter import Adapter
from providers.lane import HttpLane
from providers.openai.adapter import OpenAI
from providers.replicate.adapter import Replicate
from providers.transport.http import checked_base_url
from providers.ttapi.adapter import TTAPI


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One name that a lane can have as its provider.

    Args:
        adapter: makes the adapter of its wire.
        base_url: where the service itself lives, or None for one that only the operator can name.
        key_setting: the environment variable that holds its key, or None where any key will do.
        path: added to the base URL; a stand-in serves several wires side by side.
        takes_files: whether files left at the base URL get an address there.
        first_look: instead of the adapter's own.
        counts_illegal: whether it keeps the money of failed jobs after too many illegal prompts in a day.
        jobs: how many may be in flight at once, until a setting or the service itself says otherwise.
    """

    adapter: Callable[[], Adapter]
    base_url: str | None = None
    key_setting: str | None = None
    path: str = ""
    takes_files: bool = False
    first_look: timedelta | None = None
    counts_illegal: bool = False
    jobs: int = 10


#: A stand-in makes pictures in less than a second, whichever service it plays.
STAND_IN_FIRST_LOOK: Final = timedelta(milliseconds=300)

SERVICES: Final[Mapping[str, Service]] = {
    "ttapi": Service(adapter=TTAPI, base_url="https://api.ttapi.io", key_setting="TTAPI_API_KEY", counts_illegal=True),
    "replicate": Service(
        adapter=Replicate, base_url="https://api.replicate.com", key_setting="REPLICATE_API_TOKEN", jobs=50
    ),
    "openai": Service(adapter=OpenAI, base_url="https://api.openai.com", key_setting="OPENAI_API_KEY"),
    "sandbox": Service(
        adapter=TTAPI, path="/ttapi", takes_files=True, first_look=STAND_IN_FIRST_LOOK, counts_illegal=True
    ),
}

#: In the books, who is asked for words: replies are results there too, and there are no jobs.
WORDS: Final = "words"

#: For a stand-in, which takes any key that is not empty.
_NO_KEY: Final = "no-key-needed"


def service(provider: str) -> Service:
    """What is known of `provider`.

    Raises:
        UnknownThing: no such provider; the sentence names those there are.
    """
    found = SERVICES.get(provider)
    if found is None:
        near = difflib.get_close_matches(provider.lower(), SERVICES, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise UnknownThing(f"there is no provider {provider!r}{hint} Known ones: {', '.join(sorted(SERVICES))}")
    return found


def is_synchronous(provider: str) -> bool:
    """Whether a submission to `provider` brings the result itself, so that there are no jobs to ask about or to list.

    Raises:
        UnknownThing: no such provider.
    """
    return provider == WORDS or service(provider).adapter().synchronous


def open_lane(
    name: str,
    provider: str,
    *,
    base_url: str | None = None,
    key: str | None = None,
    stand_in: str | None = None,
    submit_total_s: float | None = None,
    webhook_secret: str | None = None,
) -> HttpLane:
    """A lane to `provider`, at its own address unless `base_url` names another.

    Args:
        stand_in: the root of a stand-in that plays services below it. A lane whose `base_url` lies there leaves its
            files at the root, and looks for pictures sooner.
        submit_total_s: a submission is over after this many seconds; None for the adapter's own.
        webhook_secret: where the wire signs its webhooks; None for the one that the service tells.

    Raises:
        UnknownThing: no such provider.
        ServiceMissing: no key where one is needed, or no usable base URL.
    """
    known = service(provider)
    adapter = known.adapter()
    if submit_total_s is not None:
        adapter.submit_total_s = submit_total_s
    root = checked_base_url(base_url or known.base_url or "")
    files_at, first_look = root if known.takes_files else None, known.first_look
    if stand_in is not None and root.startswith(f"{checked_base_url(stand_in)}/"):
        files_at, first_look = checked_base_url(stand_in), STAND_IN_FIRST_LOOK
    return HttpLane(
        name,
        provider,
        adapter=adapter,
        base_url=root + known.path,
        key=key or ("" if known.key_setting else _NO_KEY),
        uploads_url=files_at,
        first_look=first_look,
        webhook_secret=webhook_secret,
    )
