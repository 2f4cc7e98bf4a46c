"""What only some wires can do besides submitting, polling and listing; `providers.lane` asks for each by its protocol.

Each is pure functions around one HTTP call, as in `providers.base`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from providers.base import Accepted, Ask, Call, Reply


@runtime_checkable
class Actor(Protocol):
    """What a wire has besides, where a job that is done can be carried further. Each such job is paid for."""

    def build_action(self, ask: Ask) -> Call:
        """The paid call of an `ask` that has an action.

        Raises:
            RequestRefused: the settings cannot be said on this wire.
        """
        ...

    def read_action(self, reply: Reply, ask: Ask) -> Accepted:
        """The further job's id, never the parent's.

        Raises:
            ProviderError: a documented refusal, by its class.
            MaybeSent: anything that is neither an acceptance nor a documented refusal.
        """
        ...


@runtime_checkable
class Canceller(Protocol):
    """What a wire has besides, where a job at work can be stopped. What became of it, the next poll says."""

    def build_cancel(self, job_id: str) -> Call: ...

    def read_cancel(self, reply: Reply) -> None:
        """Nothing, if the service took the wish.

        Raises:
            ProviderError: as `Poller.read_poll`, where this call said nothing.
        """
        ...


@runtime_checkable
class SchemaKeeper(Protocol):
    """What a wire has besides, where the service publishes which inputs a model takes, and ignores all others."""

    def build_schema(self, model: str) -> Call: ...

    def read_schema(self, reply: Reply) -> Mapping[str, Any]:
        """The inputs by name.

        Raises:
            RequestRefused: the service has no such model.
            ProviderError: as `Poller.read_poll`, where this call said nothing.
        """
        ...

    def check_schema(self, schema: Mapping[str, Any], ask: Ask) -> None:
        """Raises `RequestRefused` where the model would ignore a part of what `ask` says."""
        ...


@runtime_checkable
class Adviser(Protocol):
    """What a wire has besides, where wishes made for another service are left out rather than refused."""

    def warnings(self, ask: Ask) -> Sequence[str]:
        """Sentences about what is left out of the submission, usually none."""
        ...


@runtime_checkable
class InlineReader(Protocol):
    """What a wire has besides, where a reference may travel inside the submission, as a `data:` address."""

    #: Of one file.
    most_inline_bytes: int
