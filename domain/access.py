"""Who may do what over HTTP: teams, and the scopes of keys, each of which includes those before it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from domain.errors import BadInput

#: Of batches and characters that the command line makes, and of the key that is made by itself on loopback.
LOCAL_TEAM: Final = "local"


class Scope(StrEnum):
    """What a key may do, in ascending order."""

    READ = "read"  # look at the team's batches, pictures and events
    GENERATE = "generate"  # spend within budgets: enqueue, pause, cancel, delete, say what one likes
    APPROVE = "approve"  # say what may be spent, retry, judge whether a picture shows its character
    ADMIN = "admin"  # see the accounts of the installation: balances, errors

    def includes(self, other: "Scope") -> bool:
        order = list(Scope)
        return order.index(self) >= order.index(other)


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who does something, as it is written down.

    Args:
        name: a member of the team, or the user of this machine.
        key_name: by which key; None on the command line or in a script.
    """

    name: str
    key_name: str | None = None


def read_scope(word: str) -> Scope:
    """The scope that a word names.

    Raises:
        BadInput: it names none.
    """
    try:
        return Scope(word.strip().lower())
    except ValueError:
        raise BadInput(f"{word!r} is no scope; there are {', '.join(Scope)}, each with all before it") from None
