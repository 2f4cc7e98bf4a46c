"""A request that spends is carried out once, however often it is sent: by its `Idempotency-Key`, for a day.

The request is written down before it is carried out, and its answer after. Whoever dies between the two leaves a
request without an answer; its repetition does the work again, which therefore must be harmless where it was done.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from db.records import kept_answers
from domain.errors import RequestError, StateError
from pipeline.operator.keys import KeyRow
from pipeline.resources import Resources

LONGEST_KEY: Final = 255
_PATIENCE_S: Final = 20.0
_PERIOD_S: Final = 0.05


class KeyReused(RequestError):
    """An `Idempotency-Key` came before, with another request."""


class StillAtWork(StateError):
    """The same request is being carried out by another process or thread."""

    retryable = True


def once(
    resources: Resources, key: KeyRow, idempotency_key: str, *, request: bytes, work: Callable[[], Mapping[str, Any]]
) -> Mapping[str, Any]:
    """The answer to a request: the one that is kept, or that of `work`.

    Args:
        request: digest of path and body.
        work: carries the request out; done twice, it must come to the same.

    Raises:
        KeyReused: the key came with another request.
        StillAtWork: somebody else works at it, and has not come to an end while we waited.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        with resources.database.transaction() as connection:
            known = kept_answers.note(connection, key.id, idempotency_key, request=request)
        if known.request != request:
            raise KeyReused("this Idempotency-Key came before with another request; use a new key for a new request")
        if known.answer is not None:
            return known.answer
        answer = _alone(resources, key, idempotency_key, work=work)
        if answer is not None:
            return answer
        if time.monotonic() > deadline:
            raise StillAtWork("the same request is still being carried out; ask again with the same Idempotency-Key")
        time.sleep(_PERIOD_S)


def _alone(
    resources: Resources, key: KeyRow, idempotency_key: str, *, work: Callable[[], Mapping[str, Any]]
) -> Mapping[str, Any] | None:
    """The answer, while nobody else works for it; None where somebody does.

    No connection is held while another one works: those who wait would take the ones that the work needs.
    """
    try:
        with resources.database.transaction() as connection:
            if not kept_answers.try_lock(connection, key.id, idempotency_key):
                return None
            kept = kept_answers.answer_of(connection, key.id, idempotency_key)
            if kept is not None:
                return kept
            answer = work()
            resources.fault_points.reach("kept_answers.carried_out")
            return kept_answers.keep(connection, key.id, idempotency_key, answer)
    except RequestError:
        with resources.database.transaction() as connection:
            kept_answers.forget(connection, key.id, idempotency_key)
        raise
