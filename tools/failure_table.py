"""Generate the table of failures in `docs/providers.md` from the exception classes."""

from collections.abc import Iterator

from domain import errors
from domain.errors import PictureError, ProviderError
from domain.faults import FAULTS, IN_A_ROW
from domain.retry import CLOSES_LANE

_NOT_ACCEPTED = "released"
#: What happens to the hold, by class; a test checks that no class is missing.
MONEY: dict[type[errors.LikenessError], str] = {
    errors.NotSent: _NOT_ACCEPTED,
    errors.RateLimited: _NOT_ACCEPTED,
    errors.QueueFull: _NOT_ACCEPTED,
    errors.OutOfMoney: _NOT_ACCEPTED,
    errors.KeyRefused: _NOT_ACCEPTED,
    errors.RequestRefused: "released; charged where the service says that it keeps it",
    errors.ContentRefused: "released; charged where the service says that it keeps it",
    errors.MaybeSent: "in doubt, and held until that is settled",
    errors.ProviderDown: "held: the call said nothing about the job",
    errors.ReplyUnreadable: "held: the call said nothing about the job",
    errors.JobFailed: "released; charged where the service says that it keeps it",
    errors.JobTimedOut: "released; charged where the service says that it keeps it",
    errors.PictureAway: "charged already",
    errors.PictureLost: "charged already, and stays charged",
    errors.NotAPicture: "charged already",
}


def kinds() -> Iterator[type[errors.LikenessError]]:
    """Every class that a call to a service can raise, except those private to one module."""
    for base in (ProviderError, PictureError):
        yield from (kind for kind in base.__subclasses__() if kind.__module__ == errors.__name__)


def failure_table() -> str:
    """One line per class."""
    lines = [
        "| code | who can help | another try can help | the service may name a wait | closes the lane | the money |",
        "|---|---|---|---|---|---|",
    ]
    for kind in kinds():
        closes = CLOSES_LANE.get(kind)
        named = "yes" if issubclass(kind, ProviderError) else ""
        again = "yes" if kind.retryable else ""
        closed = f"{closes.total_seconds():.0f} s, or as long as it says" if closes is not None else ""
        closed = f"{IN_A_ROW} in a row" if kind in FAULTS else closed
        lines.append(f"| `{kind('').code}` | {kind.blame} | {again} | {named} | {closed} | {MONEY[kind]} |")
    return "\n".join(lines)
