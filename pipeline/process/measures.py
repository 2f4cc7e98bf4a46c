"""What a process measures of its own work, for whoever scrapes it; by default nobody does, and nothing is kept.

What all processes have done together is in the rows (`pipeline.views.metrics`); here is what no row says: how long the
calls and waits of this very process take.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from domain.errors import ProviderError


class Measures(Protocol):
    """Takes what has just happened; called from any thread, and never raises."""

    def called(self, lane: str, call: str, *, seconds: float, outcome: str) -> None:
        """A provider was asked for a `submit` or a `poll`; the outcome is `ok`, or the class of the failure."""

    def waited_for_token(self, lane: str, *, seconds: float) -> None:
        """A submission has its token, after so long in this worker."""

    def rescued(self, attempts: int) -> None:
        """A round of rescue put so many attempts back on their way."""

    def batch(self, pictures: int, *, waited_s: float, took_s: float) -> None:
        """The model has seen a batch, which waited so long for company."""


class Unmeasured:
    """Implements `Measures` by keeping nothing."""

    def called(self, lane: str, call: str, *, seconds: float, outcome: str) -> None: ...

    def waited_for_token(self, lane: str, *, seconds: float) -> None: ...

    def rescued(self, attempts: int) -> None: ...

    def batch(self, pictures: int, *, waited_s: float, took_s: float) -> None: ...


@contextmanager
def measured(measures: Measures, lane: str, call: str) -> Iterator[None]:
    """Measure the one call of a provider in the block."""
    began, outcome = time.monotonic(), "ok"
    try:
        yield
    except ProviderError as failure:
        outcome = type(failure).__name__
        raise
    finally:
        measures.called(lane, call, seconds=time.monotonic() - began, outcome=outcome)
