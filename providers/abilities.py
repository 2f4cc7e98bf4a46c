"""What only some wires can do besides submitting, polling and listing; `providers.lane` asks for each by its protocol.

Each is pure functions around one HTTP call, as in `providers.contract`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Protocol, runtime_checkable

from domain.escalation import Carried
from providers.contract import Accepted, Ask, Call, Reply, Running
from providers.notices import Told


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
class Marker(Protocol):
    """What a wire has besides, where a submission carries a mark of its attempt's that the list shows."""

    def bears_mark_of(self, attempt_id: str, listed: str) -> bool:
        """As `providers.listed.Lists.bears_mark_of`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """What a service sees in a picture.

    Args:
        texts: each would do as a prompt for a picture like it.
        charged_usd: what the service says it charged, or None where it does not say.
    """

    texts: Sequence[str]
    charged_usd: Decimal | None = None


@runtime_checkable
class PromptChecker(Protocol):
    """What a wire has besides, where the service tells beforehand, and for nothing, whether it refuses a text."""

    def build_prompt_check(self, text: str) -> Call: ...

    def read_prompt_check(self, reply: Reply) -> str | None:
        """The service's objection, or None.

        Raises:
            ProviderError: as `Poller.read_poll`, where this call said nothing.
        """
        ...


@runtime_checkable
class PromptJudge(Protocol):
    """A lane whose service may be asked about a text beforehand."""

    @property
    def checks_prompts(self) -> bool:
        """Whether its service has such a call."""
        ...

    def objection(self, text: str) -> str | None:
        """Why the service would refuse `text`, or None.

        Raises:
            ProviderError: the service could not be asked.
        """
        ...


@runtime_checkable
class SideWorker(Protocol):
    """What a wire has besides, where jobs of other kinds are made: each is paid for, and none can be found again.

    For tools outside the books: nothing of ours makes such a job, so no budget or limit knows of it. What
    a job of these came to is asked with `Poller.build_poll`.
    """

    def build_blend(self, pictures: Sequence[bytes], *, shape: str, settings: Mapping[str, Any]) -> Call:
        """Pictures made of several files.

        Raises:
            RequestRefused: too few or too many, or files, a shape or settings that the service does not take.
        """
        ...

    def build_describe(self, picture: bytes) -> Call: ...

    def read_description(self, reply: Reply) -> Running | Described:
        """What the job came to; raises what `Poller.read_poll` raises."""
        ...

    def build_seed(self, job_id: str) -> Call:
        """Ask for the seed of a finished job."""
        ...

    def read_seed(self, reply: Reply) -> Running | int:
        """What the job came to; raises what `Poller.read_poll` raises."""
        ...

    def build_inpaint(self, job_id: str, *, mask: bytes, prompt: str, settings: Mapping[str, Any]) -> Call:
        """Draw a part of a finished job's picture anew.

        Args:
            mask: a file of the picture's own size, white where it is to be drawn.

        Raises:
            RequestRefused: no prompt, or a file or settings that the service does not take.
        """
        ...

    def read_side_job(self, reply: Reply) -> Accepted:
        """Raises what `Provider.read_submit` raises."""
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
class Announcer(Protocol):
    """What a wire has besides, where the service tells until when it has a model."""

    def build_model(self, model: str) -> Call: ...

    def read_end(self, reply: Reply) -> date | None:
        """The first day without the model, or None where none is announced.

        Raises:
            RequestRefused: the service has no such model, or not for this account.
            ProviderError: as `Poller.read_poll`, where this call said nothing.
        """
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


@runtime_checkable
class Weigher(Protocol):
    """What a wire has besides, where a setting says how strongly the references are followed."""

    def carried(self, ask: Ask) -> Carried:
        """What the submission of `ask` carries of its character.

        Raises:
            RequestRefused: the settings cannot be said on this wire.
        """
        ...


@runtime_checkable
class Varier(Protocol):
    """What an `Actor` has besides, where one of its actions varies a picture."""

    def variation_of(self, position: int, *, detail: Mapping[str, Any]) -> str | None:
        """The name of the action that varies the picture at `position`, from 0, or None where the job offers none.

        Args:
            detail: what the service said of the job in its last word.
        """
        ...


@runtime_checkable
class CallsBack(Protocol):
    """What a wire has besides, where the service calls back and a job tells what it was asked for."""

    def read_webhook(self, content: bytes) -> str | None:
        """The job that a webhook's body names, or None; it says so, which proves nothing."""
        ...

    def read_told(self, reply: Reply) -> Told:
        """What the answer to `Poller.build_poll` tells of the request.

        Raises:
            ProviderError: as `Poller.read_poll`, where this call said nothing.
        """
        ...


@runtime_checkable
class Signer(Protocol):
    """What a wire that calls back has besides, where webhooks are signed with a secret of the account."""

    def build_secret(self) -> Call: ...

    def read_secret(self, reply: Reply) -> str:
        """As Standard Webhooks writes it, `whsec_` and base64.

        Raises:
            ProviderError: the service did not give it.
        """
        ...
