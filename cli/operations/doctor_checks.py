"""The result of one doctor check: its health, what was found, and what to do."""

from dataclasses import dataclass
from enum import StrEnum


class Health(StrEnum):
    """The result of a check; only `missing` prevents pictures from being made."""

    OK = "ok"
    NOTE = "note"
    MISSING = "missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One line of the doctor.

    Args:
        found: what was found.
        advice: what to do; a sentence without full stop, or empty.
    """

    name: str
    health: Health = Health.OK
    found: str
    advice: str = ""
