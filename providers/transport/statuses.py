"""Says what an HTTP status means where a service documents nothing else: refusals, and failed looks."""

from collections.abc import Mapping
from typing import Final

from domain.errors import (
    KeyRefused,
    OutOfMoney,
    ProviderDown,
    ProviderError,
    RateLimited,
    ReplyUnreadable,
    RequestRefused,
)
from providers.contract import Reply
from providers.transport.retry_after import retry_after_s

#: Statuses that refuse a submission: nothing was made. A 403 is about the request unless a service says otherwise.
REFUSALS: Final[Mapping[int, type[ProviderError]]] = {
    400: RequestRefused,
    401: KeyRefused,
    402: OutOfMoney,
    403: RequestRefused,
    404: RequestRefused,
    422: RequestRefused,
    429: RateLimited,
}


def no_answer(reply: Reply, service: str) -> ProviderError:
    """Why a call that may be repeated was not answered, where the reply is neither an answer nor a known refusal.

    A 400, 404 or 422 says nothing about a job: it is also what a wrong path, or a job that this node of the service
    does not know yet, would give, and a job that may be paid is not given up for that.
    """
    if reply.status >= 500:
        return ProviderDown(f"{service} answered {reply.status}", retry_after_s=retry_after_s(reply))
    return ReplyUnreadable(f"{service} answered {reply.status} with a body that can't be used")
