"""What the doctor finds: one line per check, how it came out and what to do."""

from dataclasses import dataclass
from enum import StrEnum


class Health(StrEnum):
    """How a check came out; only `missing` keeps pictures from being made."""

    OK = "ok"
    NOTE = "note"
    MISSING = "missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One line of the doctor.

    Args:
        found: what there is.
        advice: what to do, as a sentence without its full stop; empty when nothing need be done.
    """

    name: str
    health: Health = Health.OK
    found: str
    advice: str = ""
