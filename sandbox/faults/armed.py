"""Arm faults, roll for them, and apply those that all wires share.

`sandbox.faults.kinds` has the table of all faults. Faults of one wire (body formats, the end of a job) are applied by
that wire; here they are armed, rolled for and counted. Armed faults are kept in memory only: a restarted sandbox has
none.
"""

import io
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, get_args

from sandbox.faults.kinds import KINDS, Kind, Where
from sandbox.web import BadRequest, Reply, Request

Profile = Callable[[Mapping[str, Any]], Sequence[Mapping[str, Any]]]

HTML_PAGE = b"<!doctype html><html><head><title>Just a moment...</title></head><body>Please wait.</body></html>"

# How many events are kept.
MOST_REMEMBERED = 20_000


@dataclass(slots=True, kw_only=True)
class Fault:
    """One armed fault with its own random generator, so that faults do not affect each other's sequence."""

    where: Where
    name: str
    argument: str
    provider: str | None
    rate: float
    count: int | None
    match: str | None
    dice: random.Random = field(repr=False)
    fired: int = 0

    @property
    def seconds(self) -> float:
        return float(self.argument)

    @property
    def clock_s(self) -> float:
        return -self.seconds if self.name == "slow_clock" else 0.0

    def rolls(self) -> bool:
        """Whether it fires this time; uses one roll and, if it fires, one of its count."""
        if self.count is not None and self.fired >= self.count:
            return False
        if self.dice.random() >= self.rate:
            return False
        self.fired += 1
        return True

    @property
    def what(self) -> str:
        return f"{self.name}:{self.argument}" if self.argument else self.name

    def document(self) -> dict[str, object]:
        return {
            "where": self.where,
            "provider": self.provider,
            "what": self.what,
            "rate": self.rate,
            "count": self.count,
            "match": self.match,
            "fired": self.fired,
        }


class Faults:
    """The armed faults. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._armed: list[Fault] = []
        self._seed = 0
        self._happened: deque[dict[str, object]] = deque(maxlen=MOST_REMEMBERED)

    def arm(self, wanted: Sequence[Mapping[str, Any]], *, seed: int | None = None) -> None:
        """Arm faults; raises `BadRequest` for an invalid one, and then arms none."""
        with self._lock:
            if seed is not None:
                self._seed = seed
            first = len(self._armed)
            self._armed += [
                read_fault(fields, dice=random.Random(f"{self._seed}/{first + index}"))
                for index, fields in enumerate(wanted)
            ]

    def clear(self) -> None:
        with self._lock:
            self._armed = []

    def document(self) -> dict[str, object]:
        with self._lock:
            return {"seed": self._seed, "faults": [fault.document() for fault in self._armed]}

    def happened(self) -> list[dict[str, object]]:
        """Every call that a fault hit, in order: time, place, fault, and prompt if it was read."""
        with self._lock:
            return list(self._happened)

    def choose_unread(self, provider: str) -> Fault | None:
        """The fault that ends a submission's connection before its body is read, if any."""
        return self._first(lambda fault: _unread(fault) and fault.provider in {None, provider}, provider, prompt="")

    def choose(
        self, where: Where, provider: str, *, prompt: str = "", among: frozenset[str] | None = None
    ) -> Fault | None:
        """The first armed fault that matches and fires; at most one per request."""

        def fits(fault: Fault) -> bool:
            return (
                fault.where == where
                and fault.provider in {None, provider}
                and (among is None or fault.name in among)
                and provider in KINDS[fault.name].wires(where)
                and (fault.match is None or fault.match in prompt)
                and not _unread(fault)
            )

        return self._first(fits, provider, prompt=prompt)

    def _first(self, fits: Callable[[Fault], bool], provider: str, *, prompt: str) -> Fault | None:
        with self._lock:
            found = next((fault for fault in self._armed if fits(fault) and fault.rolls()), None)
            if found is not None:
                what = {"where": found.where, "provider": provider, "what": found.what, "prompt": prompt}
                self._happened.append({"at_s": time.time(), **what})
            return found


def _unread(fault: Fault) -> bool:
    return fault.where == "submit" and fault.name == "drop_before" and fault.match is None


def read_fault(fields: Mapping[str, Any], *, dice: random.Random) -> Fault:
    """Parse a fault from JSON; raises `BadRequest` with the possible values."""
    where, what = fields.get("where"), str(fields.get("what", ""))
    name, _, argument = what.partition(":")
    kind = KINDS.get(name)
    if kind is None:
        raise BadRequest(f"unknown fault {name!r}; known: {', '.join(sorted(KINDS))}")
    if where not in get_args(Where) or where not in kind.where:
        raise BadRequest(f"fault {name!r} cannot be at {where!r}; it can be at: {', '.join(sorted(kind.where))}")
    wires, provider = kind.wires(where), fields.get("provider")
    if provider is not None and provider not in wires:
        raise BadRequest(f"fault {name!r} at {where!r} is none of {provider!r}, but of {', '.join(sorted(wires))}")
    argument = argument or kind.default or ""
    _check_argument(name, kind, argument)
    rate, count = fields.get("rate", 1.0), fields.get("count")
    if not isinstance(rate, int | float) or not 0 <= rate <= 1:
        raise BadRequest(f"the rate is a number from 0 to 1, not {rate!r}")
    if count is not None and (not isinstance(count, int) or count < 1):
        raise BadRequest(f"the count is a positive integer or null, not {count!r}")
    return Fault(
        where=where,
        name=name,
        argument=argument,
        provider=provider,
        rate=float(rate),
        count=count,
        match=fields.get("match"),
        dice=dice,
    )


def _check_argument(name: str, kind: Kind, argument: str) -> None:
    if kind.argument == "seconds" and not argument.replace(".", "", 1).isdigit():
        raise BadRequest(f"fault {name!r} takes seconds, as in '{name}:2.5', not {argument!r}")
    if kind.argument == "status" and not (argument[:3].isdigit() and argument[3:] in {"", "_before", "_after"}):
        raise BadRequest(f"fault {name!r} takes a status, as in '{name}:500' or '{name}:500_after', not {argument!r}")
    if kind.argument == "text" and not argument:
        raise BadRequest(f"fault {name!r} takes a message, as in '{name}:[Banned prompt detected]'")


def misbehave(fault: Fault | None, *, act: Callable[[], Reply], refuse: Callable[[int], Reply]) -> Reply:
    """Handle a request with a fault.

    Args:
        fault: the fault of this request; kinds that only a wire understands are ignored here.
        act: handles the request and returns the reply; called at most once.
        refuse: the wire's error reply with a status.
    """
    if fault is None:
        return act()
    if fault.name == "drop_before":
        return Reply(dropped=True)
    if fault.name == "html":
        return Reply(body=HTML_PAGE, content_type="text/html")
    if fault.name == "status" and not fault.argument.endswith("_after"):
        return refuse(int(fault.argument[:3]))
    if fault.name == "delay_before":
        time.sleep(fault.seconds)
    return _spoil(fault, act(), refuse)


def _spoil(fault: Fault, reply: Reply, refuse: Callable[[int], Reply]) -> Reply:
    if fault.name == "status":
        return refuse(int(fault.argument[:3]))
    if fault.name == "html_after":
        return Reply(body=HTML_PAGE, content_type="text/html")
    return replace(
        reply,
        dropped=fault.name == "drop_after",
        cut=fault.name == "truncated",
        drip_s=fault.seconds if fault.name == "slow" else 0.0,
        delay_s=fault.seconds if fault.name == "delay" else 0.0,
        clock_s=fault.clock_s,
    )


def spoil_picture(fault: Fault | None, reply: Reply) -> Reply:
    """Apply the faults of picture files to a reply."""
    name = fault.name if fault else ""
    if name == "expired":
        return Reply(status=404, body=b"This content is no longer available.", content_type="text/plain")
    if name == "page":
        return Reply(body=HTML_PAGE, content_type="text/html")
    if name == "wrong_type":
        return replace(reply, content_type="text/plain")
    spoilt = _SPOILT.get(name)
    return reply if spoilt is None else replace(reply, body=spoilt(reply.body))


def _noise(picture: bytes) -> bytes:
    return picture[:16] + random.Random(len(picture)).randbytes(max(0, len(picture) - 16))


def _in_another_format(picture: bytes) -> bytes:
    """The same picture as JPEG, or as PNG where it is no PNG."""
    from PIL import Image

    written = io.BytesIO()
    with Image.open(io.BytesIO(picture)) as read:
        read.convert("RGB").save(written, format="JPEG" if read.format == "PNG" else "PNG")
    return written.getvalue()


#: Faults that replace a picture's bytes but keep its media type.
_SPOILT: Mapping[str, Callable[[bytes], bytes]] = {
    "fake": lambda _: HTML_PAGE,
    "unreadable": _noise,
    "cut_file": lambda picture: picture[: len(picture) // 2],
    "other_format": _in_another_format,
}


def answer_faults(faults: Faults, request: Request, *, profile: Profile) -> dict[str, object]:
    """`/_sandbox/faults`: GET lists, POST arms, DELETE clears; raises `BadRequest`.

    Args:
        profile: returns the faults of the profile that the request names.
    """
    if request.method == "DELETE":
        faults.clear()
    elif request.method in {"POST", "PUT"}:
        fields = request.fields()
        wanted, seed = profile(fields) if "profile" in fields else fields.get("faults", []), fields.get("seed")
        if not isinstance(wanted, list) or not all(isinstance(fault, dict) for fault in wanted):
            raise BadRequest("`faults` is a list of objects with at least `where` and `what`")
        if seed is not None and not isinstance(seed, int):
            raise BadRequest(f"`seed` is an integer, not {seed!r}")
        faults.arm(wanted, seed=seed)
    known = {
        name: {
            "where": {where: sorted(kind.wires(where)) for where in sorted(kind.where)},
            "argument": kind.argument,
            "meaning": kind.meaning,
        }
        for name, kind in KINDS.items()
    }
    return {**faults.document(), "known": known}
