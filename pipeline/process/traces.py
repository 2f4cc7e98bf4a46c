"""What a process tells of its steps as spans, for whoever collects traces; by default nobody does, and nothing is kept.

A generation is one trace from the file to the verdict, whichever processes and tries it takes. A span names ids, the
lane, the model and the class of a failure; what was asked for, keys and addresses never get near one.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Final, Protocol

from domain.errors import LikenessError
from domain.ids import AttemptId, BatchId, GenerationId

#: The header of a message, named as W3C Trace Context has it.
TRACEPARENT: Final = "traceparent"
_NOTHING: Final = nullcontext()


class Traceable(Protocol):
    """What a span is about: an attempt that has been admitted, or the work on it."""

    @property
    def generation_id(self) -> GenerationId: ...

    @property
    def attempt_id(self) -> AttemptId: ...

    @property
    def lane(self) -> str: ...

    @property
    def provider(self) -> str: ...

    @property
    def model(self) -> str: ...


class Traces(Protocol):
    """Takes what happens; called from any thread, and never raises."""

    def now(self) -> int:
        """The time, for a step that is named only later; in nanoseconds since 1970."""
        ...

    def batch(self, batch_id: BatchId, *, rows: int, since: int) -> None:
        """A producer has committed so many new rows of a batch, at which it has been since then."""

    def enqueued(self, about: Traceable) -> None:
        """A generation has waited in the queue from its making until now, its first turn."""

    def step(self, name: str, about: Traceable, *, since: int | None = None) -> AbstractContextManager[None]:
        """One step in the block, or since then; messages that are sent inside it continue from it."""
        ...

    def failed(self, failure: LikenessError) -> None:
        """The step that this thread is in came to this; of the failure only its class is told."""

    def continuing(self, traceparent: str | None) -> AbstractContextManager[None]:
        """Steps in the block follow the one that sent the message with that header."""
        ...

    def traceparent(self) -> str | None:
        """The header of a message that is sent now by this thread; None outside of steps."""
        ...


class Untraced:
    """Implements `Traces` by keeping nothing."""

    def now(self) -> int:
        return 0

    def batch(self, batch_id: BatchId, *, rows: int, since: int) -> None: ...

    def enqueued(self, about: Traceable) -> None: ...

    def step(self, name: str, about: Traceable, *, since: int | None = None) -> AbstractContextManager[None]:
        del name, about, since
        return _NOTHING

    def failed(self, failure: LikenessError) -> None: ...

    def continuing(self, traceparent: str | None) -> AbstractContextManager[None]:
        del traceparent
        return _NOTHING

    def traceparent(self) -> str | None:
        return None
