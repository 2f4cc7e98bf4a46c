"""Defines the base class of the adapters: what every wire format must do, and what it may do besides.

An adapter is pure functions around one HTTP call. Everything optional has a default that does nothing, and a `build_`
method that gives None says that the service has no such call. `providers.lane` asks the adapter directly.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any, ClassVar

from domain.errors import ReplyUnreadable, RequestRefused
from domain.escalation import Carried
from providers.catalogue import load
from providers.contract import (
    Accepted,
    AccountInfo,
    Ask,
    Call,
    Delivered,
    Progress,
    Reply,
)
from providers.listed import ListedPage
from providers.webhooks import Told

#: A create is answered within a second or two; what takes this long will hardly be answered at all.
SUBMIT_TOTAL_S = 30.0


class Adapter(ABC):
    """One wire format. Holds no client, no key and no state.

    Attributes:
        name: of the service.
        submit_total_s: a submission is over after this many seconds, whatever happened.
        synchronous: a submission brings the result itself; there are no jobs to ask about or to list.
        list_parts: what the service lists separately, in the order in which a job moves through them, so that it
            cannot slip through between two; empty where it lists no jobs.
        cancels: a job at work can be stopped.
        upscales: a picture of a finished job can be made larger by an action on the job.
        calls_back: the service calls an address of ours when a job has ended.
        checks_prompts: the service tells beforehand, and for nothing, whether it refuses a text.
        tells_models: the service says something about its models, which `read_schema` or `read_end` reads.
        takes_files: references may be left with it, inside the submission or beforehand.
        most_inline_bytes: of one reference that travels inside the submission, as a `data:` address; 0 for none.
        reads_types: media types in which the service reads a reference.
        most_reference_bytes: a larger reference is not read.
    """

    name: ClassVar[str]
    submit_total_s: float = SUBMIT_TOTAL_S
    synchronous: ClassVar[bool] = False
    list_parts: ClassVar[Sequence[str]] = ()
    cancels: ClassVar[bool] = False
    upscales: ClassVar[bool] = False
    calls_back: ClassVar[bool] = False
    checks_prompts: ClassVar[bool] = False
    tells_models: ClassVar[bool] = False
    takes_files: ClassVar[bool] = False
    most_inline_bytes: ClassVar[int] = 0
    reads_types: ClassVar[frozenset[str]] = frozenset({"image/png", "image/jpeg", "image/webp"})
    most_reference_bytes: ClassVar[int] = 20 * 2**20

    # --- What every wire has ----------------------------------------------------------------------------------------

    @abstractmethod
    def auth_headers(self, key: str) -> Mapping[str, str]:
        """What proves the account; sent to the service's base URL and to no other host."""

    @abstractmethod
    def prompt_text(self, ask: Ask) -> str:
        """The text that is sent, the service's own flags included; it stands in the attempt's row."""

    @abstractmethod
    def build_submit(self, ask: Ask) -> Call:
        """The one paid call.

        Raises:
            RequestRefused: the settings cannot be said on this wire.
        """

    @abstractmethod
    def read_submit(self, reply: Reply) -> Accepted | Delivered:
        """The job's id, or the result itself.

        Raises:
            ProviderError: a documented refusal, by its class.
            MaybeSent: anything that is neither an acceptance nor a documented refusal.
        """

    def warnings(self, ask: Ask) -> Sequence[str]:
        """Sentences about what the submission leaves out, moves or guesses; usually none."""
        return ()

    def carried(self, ask: Ask) -> Carried:
        """What the submission carries of its character, and by which setting its weight can be raised.

        Raises:
            RequestRefused: the settings cannot be said on this wire.
        """
        return Carried(references=len(ask.reference_urls))

    # --- Jobs -------------------------------------------------------------------------------------------------------

    def build_poll(self, job_id: str) -> Call | None:
        return None

    def read_poll(self, reply: Reply) -> Progress:
        """Where the job is.

        Raises:
            JobFailed, JobTimedOut, ContentRefused, RequestRefused: the service's last word.
            ProviderDown, ReplyUnreadable, RateLimited, KeyRefused, OutOfMoney: this call said nothing about the job.
        """
        raise ReplyUnreadable(f"{self.name!r} has no jobs that could be asked about")

    def first_look_after(self, settings: Mapping[str, Any], *, model: str) -> timedelta:
        """When most jobs of this kind are done, counted from the submission."""
        return load().get(model).expected(settings)

    def build_cancel(self, job_id: str) -> Call | None:
        return None

    def read_cancel(self, reply: Reply) -> None:
        """Nothing, if the service took the wish; what became of the job, the next poll says.

        Raises:
            ProviderError: as `read_poll`, where this call said nothing.
        """

    def build_action(self, ask: Ask) -> Call:
        """The paid call of an `ask` that has an action: a job that is done is carried further.

        Raises:
            RequestRefused: the wire has no actions, or the settings cannot be said on it.
        """
        raise RequestRefused(f"{self.name!r} can't carry a job further; ask for a fresh one")

    def read_action(self, reply: Reply, ask: Ask) -> Accepted | Delivered:
        """The further job's id, never the parent's; raises as `read_submit`."""
        return self.read_submit(reply)

    def variation_of(self, position: int, *, detail: Mapping[str, Any]) -> str | None:
        """The name of the action that varies the picture at `position`, from 0, or None where the job offers none.

        Args:
            detail: what the service said of the job in its last word.
        """
        return None

    def upscale_of(self, position: int, *, detail: Mapping[str, Any]) -> tuple[str, bool] | None:
        """The name of the action that leads to a larger picture, and whether it makes it; None where there is none.

        Args:
            detail: as `variation_of`.
        """
        return None

    # --- The list of jobs, and the account --------------------------------------------------------------------------

    def build_fetch_list(self, *, part: str, page: str | None = None) -> Call | None:
        """One page of one part; the first, or the one that the page before named as its next."""
        return None

    def read_fetch_list(self, reply: Reply, *, page: str | None = None) -> ListedPage:
        """The jobs of the page that was asked for.

        Raises:
            ReplyUnreadable: also when a job has no id, since a listing with holes proves nothing.
            ProviderError: as `read_poll`, where this call said nothing.
        """
        raise ReplyUnreadable(f"{self.name!r} lists no jobs")

    def resembles(self, sent: str, listed: str) -> bool:
        """As `providers.listed.Lists.resembles`."""
        return False

    def bears_mark_of(self, attempt_id: str, listed: str) -> bool:
        """As `providers.listed.Lists.bears_mark_of`."""
        return False

    def build_info(self) -> Call | None:
        return None

    def read_info(self, reply: Reply) -> AccountInfo:
        return AccountInfo()

    # --- What the service says about its models and about texts -----------------------------------------------------

    def build_schema(self, model: str) -> Call | None:
        return None

    def read_schema(self, reply: Reply) -> Mapping[str, Any]:
        """The inputs that the model takes, by name.

        Raises:
            RequestRefused: the service has no such model.
            ProviderError: as `read_poll`, where this call said nothing.
        """
        return {}

    def check_schema(self, schema: Mapping[str, Any], ask: Ask) -> None:
        """Raises `RequestRefused` where the model would ignore a part of what `ask` says."""

    def build_model(self, model: str) -> Call | None:
        return None

    def read_end(self, reply: Reply) -> date | None:
        """The first day without the model, or None where none is announced.

        Raises:
            RequestRefused: the service has no such model, or not for this account.
            ProviderError: as `read_poll`, where this call said nothing.
        """
        return None

    def build_prompt_check(self, text: str) -> Call | None:
        return None

    def read_prompt_check(self, reply: Reply) -> str | None:
        """The service's objection, or None.

        Raises:
            ProviderError: as `read_poll`, where this call said nothing.
        """
        return None

    # --- Webhooks ---------------------------------------------------------------------------------------------------

    def read_webhook(self, content: bytes) -> str | None:
        """The job that a webhook's body names, or None; it says so, which proves nothing."""
        return None

    def read_told(self, reply: Reply) -> Told | None:
        """What the answer to a poll tells of the request behind the job; raises as `read_poll`."""
        return None

    def build_secret(self) -> Call | None:
        """Ask for the secret with which the service signs its webhooks; None where it signs none."""
        return None

    def read_secret(self, reply: Reply) -> str:
        """As Standard Webhooks writes it, `whsec_` and base64.

        Raises:
            ProviderError: the service did not give it.
        """
        raise ReplyUnreadable(f"{self.name!r} signs no webhooks")

    # --- Files ------------------------------------------------------------------------------------------------------

    def build_upload(self, content: bytes, media_type: str) -> Call | None:
        """Leave a reference with the service itself; the call may be repeated."""
        return None

    def read_upload(self, reply: Reply) -> str:
        """The address under which the service reads it; raises as `read_poll`."""
        raise ReplyUnreadable(f"{self.name!r} takes no files")
