"""The exception tree: every failure that Likeness raises on purpose, grouped by who can do something about it.

    LikenessError
    ├── RequestError            the person who asks
    │   ├── BadInput            a file, a column, an option
    │   ├── UnknownThing        a batch, character, model or lane that does not exist
    │   ├── ModelRetired        the catalogue names its successor
    │   ├── PriceUnknown        no price and no maximum named
    │   ├── LimitTooSmall       a budget below a single hold
    │   ├── KeyRequired         no API key that is known (api.callers)
    │   ├── ScopeRequired       the API key may not do this (api.callers)
    │   ├── TooManyRequests     the API key asks too fast (pipeline.operator.keys)
    │   ├── KeyReused           an Idempotency-Key with another request (pipeline.operator.kept_answers)
    │   ├── Deleted             the generation was deleted (pipeline.operator.deletion)
    │   ├── SignInRequired      nobody is signed in to the page (api.page.visitors)
    │   └── ForeignForm         a form that the page did not make (api.page.visitors)
    ├── ServiceMissing          the operator: a server, a key, weights
    │   ├── DatabaseAway        Postgres is not reachable now (db.session)
    │   ├── StoreAway           the picture bucket cannot be used now (storage.base)
    │   └── ServersUnavailable  embedded servers cannot be started here (runtime.embedded.errors)
    ├── ProviderError           the provider, or the way to it
    │   ├── NotSent             the request never left this machine
    │   ├── RateLimited         429, slow down
    │   ├── QueueFull           499, too many jobs in flight
    │   ├── OutOfMoney          402 or an empty wallet
    │   ├── KeyRefused          401; 403 where it is about the account
    │   ├── RequestRefused      400, 403, 404, 422: this request will never be accepted
    │   ├── ContentRefused      moderation, before or after the work
    │   ├── MaybeSent           the reply is lost: the job may exist and may be paid
    │   ├── ProviderDown        a repeatable call got no answer
    │   ├── ReplyUnreadable     a repeatable call got an answer that cannot be parsed
    │   ├── JobFailed           the provider ended a job as failed; nothing is charged
    │   ├── JobTimedOut         the provider ended a job as timed out; nothing is charged
    │   └── NeverArrived        a doubt is settled: there is no such job (db.moves.doubts)
    ├── PictureError            the file that came back
    │   ├── PictureAway         cannot be downloaded now, perhaps later
    │   │   └── PictureGuarded  its host asks for a login, or refuses (providers.transport.fetch)
    │   ├── PictureLost         paid for, and cannot be downloaded any more
    │   ├── NotAPicture         wrong type, truncated, or a decompression bomb
    │   └── NotEmbeddable       its file takes no record of where it comes from (reports.picture_containers)
    ├── ScorerError             the check
    │   ├── OutOfMemory         the operator: the device is full; a smaller batch, or a later one, may fit
    │   ├── ScorerBroken        the operator: nothing can be scored in this process; a new process may recover
    │   ├── UnfitPicture        this picture cannot be scored; others can
    │   ├── ModelUnloadable     weights missing, wrong, or too large
    │   └── Poison              the step kills every worker that takes it (pipeline.attempts.rescue)
    └── StateError              the row
        ├── StillAtWork         a request is being carried out by another thread (pipeline.operator.kept_answers)
        └── LostRace            another process moved it first; expected in normal operation

A class that only one module raises is defined there. Whether to retry depends on the class; how long to wait is decided
in `domain.retry`.
"""

from decimal import Decimal
from enum import StrEnum
from typing import ClassVar


class Blame(StrEnum):
    """Who can do something about a failure."""

    REQUEST = "request"
    OPERATOR = "operator"
    PROVIDER = "provider"
    PICTURE = "picture"
    SCORER = "scorer"
    STATE = "state"


class LikenessError(Exception):
    """Base of all failures that Likeness raises on purpose; `str()` is one sentence for the user."""

    blame: ClassVar[Blame] = Blame.STATE
    retryable: ClassVar[bool] = False
    exit_code: ClassVar[int] = 1

    @property
    def code(self) -> str:
        """The class name in snake case: the typed reason stored in rows and printed by `--json`."""
        name = type(self).__name__
        return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")


class RequestError(LikenessError):
    blame = Blame.REQUEST
    exit_code = 2


class BadInput(RequestError):
    """A file, a row or an option that cannot be used.

    Args:
        message: what is wrong, with the thing named by `!r`, and what to do next.
        line: 1-based line of the file, where there is one.
        cell: the cell of a workbook, as spreadsheets write it (`Prompts!C14`); named instead of the line.
    """

    def __init__(self, message: str, *, line: int | None = None, cell: str | None = None) -> None:
        place = cell if cell is not None else None if line is None else f"line {line}"
        super().__init__(message if place is None else f"{place}: {message}")
        self.sentence = message
        self.line = line
        self.cell = cell


class UnknownThing(RequestError):
    pass


class ModelRetired(RequestError):
    pass


class PriceUnknown(RequestError):
    pass


class LimitTooSmall(RequestError):
    pass


class ServiceMissing(LikenessError):
    blame = Blame.OPERATOR
    exit_code = 3


class ProviderError(LikenessError):
    """A provider's refusal, failure or missing reply.

    Args:
        message: shown to the user unchanged.
        retry_after_s: the wait that the provider asks for, in seconds; `domain.retry.requested_wait` bounds it.
        charged_usd: what the provider charges although there is no picture; None for nothing.
        illegal_prompt: the provider counts this prompt against the account; too many of them cost money.
    """

    blame = Blame.PROVIDER

    def __init__(
        self,
        message: str,
        *,
        retry_after_s: float | None = None,
        charged_usd: Decimal | None = None,
        illegal_prompt: bool = False,
    ) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.charged_usd = charged_usd
        self.illegal_prompt = illegal_prompt


class NotSent(ProviderError):
    retryable = True


class RateLimited(ProviderError):
    retryable = True


class QueueFull(ProviderError):
    retryable = True


class OutOfMoney(ProviderError):
    blame = Blame.OPERATOR
    retryable = True


class KeyRefused(ProviderError):
    blame = Blame.OPERATOR
    retryable = True


class RequestRefused(ProviderError):
    blame = Blame.REQUEST


class ContentRefused(ProviderError):
    blame = Blame.REQUEST


class MaybeSent(ProviderError):
    """Never retried: the attempt is in doubt until the provider's own list settles it."""


class ProviderDown(ProviderError):
    retryable = True


class ReplyUnreadable(ProviderError):
    retryable = True


class JobFailed(ProviderError):
    retryable = True


class JobTimedOut(ProviderError):
    retryable = True


class PictureError(LikenessError):
    blame = Blame.PICTURE


class PictureAway(PictureError):
    retryable = True


class PictureLost(PictureError):
    pass


class NotAPicture(PictureError):
    """The bytes are not a usable picture. Retryable, because a fresh download may be complete."""

    retryable = True


class ScorerError(LikenessError):
    blame = Blame.SCORER


class OutOfMemory(ScorerError):
    blame = Blame.OPERATOR
    retryable = True


class ScorerBroken(ScorerError):
    """Even a known good picture cannot be scored, so the fault is in the device or the model.

    Not retryable in this process: a failed CUDA context stays failed. Another process may succeed.
    """

    blame = Blame.OPERATOR
    exit_code = 3


class UnfitPicture(ScorerError):
    pass


class ModelUnloadable(ScorerError):
    exit_code = 3


class StateError(LikenessError):
    blame = Blame.STATE


class LostRace(StateError):
    """The row was not in a state that allows the move, or the lease is no longer ours."""
