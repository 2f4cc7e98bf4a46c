"""Defines the contract between the steps and an image service: what is asked, what comes back, what a lane does.

An adapter (`providers.adapter`) is pure functions around one HTTP call: it writes a `Call`, somebody else sends it, and
it reads the `Reply`. Sending, timing and the translation of transport failures live in `providers.transport.http`;
prices and facts about models live in `providers.catalogue`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Protocol

from providers.listed import Lists
from providers.webhooks import CalledBack


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """A further job on one picture of a job that is done: another variation of it, a larger one of it.

    Args:
        job_id: of the parent, on the same account.
        name: one of those that the parent's last word lists as possible.
        position: of the parent's picture that it starts from, from 0.
        parent_text: the text as it was sent for the parent; the service lists the further job under it.
    """

    job_id: str
    name: str
    position: int
    parent_text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """Everything an adapter needs in order to write a submission.

    Args:
        attempt_id: ours; never sent as it is.
        token: unguessable, sent where the wire carries something back to us (a webhook's path).
        model: catalogue name.
        prompt: the person's text, without the service's own flags.
        settings: effective settings of the generation (`mode`, `ar`, `cref_weight`, `seed`, `stylize`, `no`, ...).
        reference_urls: the character's references, reachable by the service, best first.
        hook_url: where the service may call back, or None.
        action: instead of a fresh job from the prompt; only for a wire that has actions.
        begin_by: on `providers.transport.clock`; a submission that has not begun to leave by then never leaves.
    """

    attempt_id: str
    token: str
    model: str
    prompt: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    reference_urls: Sequence[str] = ()
    hook_url: str | None = None
    action: Action | None = None
    begin_by: float = math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One HTTP request, not yet sent.

    Args:
        path: below the lane's base URL, starting with a slash.
        content: a body that is not JSON; its type stands in `headers`.
        total_s: the whole call must be over after this many seconds, connection included.
        repeatable: whether sending it twice is harmless; a submission never is.
        reply_max_bytes: a longer answer is not read to its end.
        model: what is asked for, where the answer does not say it again; it is not sent.
    """

    method: str
    path: str
    json: Mapping[str, Any] | None = None
    content: bytes | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    total_s: float = 30.0
    repeatable: bool = False
    reply_max_bytes: int = 4 * 2**20
    model: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came back, whole.

    Args:
        path: of the call that it answers, for a refusal that doesn't say what it refuses.
        model: of the call that it answers.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes
    path: str = ""
    model: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The service has taken the job under this id."""

    job_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """The reply to the submission is the result: there is no job to ask about, and no second copy of the pictures.

    Args:
        pictures: files as they came, in the service's order.
        picture_urls: in place of `pictures`, where the reply holds addresses; nothing else knows of them.
        charged_usd: what the service says it charged, or None where it does not say.
        request_id: the service's own name for the call, or None where it gives none.
        detail: what else it said, JSON, kept for people.
    """

    pictures: Sequence[bytes]
    picture_urls: Sequence[str] = ()
    charged_usd: Decimal | None = None
    request_id: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """The job is waiting or at work.

    Args:
        percent: 0 to 100, or None where the service does not say.
    """

    percent: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """The job is done.

    Args:
        picture_urls: one per picture, in the service's order.
        grid_url: one file holding all of them, for services that make one.
        charged_usd: what the service says it charged, or None where it does not say.
        detail: what else it said, JSON, kept for people.
        lost: why there are no pictures and never will be, although the job counts as paid; None for every other job.
    """

    picture_urls: Sequence[str]
    grid_url: str | None = None
    charged_usd: Decimal | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
    lost: str | None = None


Progress = Running | Made


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountInfo:
    """What a service says about the account behind a key; None where it does not say.

    Args:
        balance_usd: money left, what is set aside for running jobs not included.
        held_usd: money the service has set aside for running jobs.
        most_jobs: how many jobs may be in flight at once.
        served_at: Unix time by the service's clock when it answered.
    """

    balance_usd: Decimal | None = None
    held_usd: Decimal | None = None
    most_jobs: int | None = None
    served_at: float | None = None


class Lane(CalledBack, Lists, Protocol):
    """One account with a service: an adapter, a base URL, a key and a client behind one face.

    `submit` is the only paid call and is sent at most once.
    """

    name: str
    provider: str

    def prompt_text(self, ask: Ask) -> str: ...

    def check(self, ask: Ask) -> None:
        """Whether `ask` can be said on this wire; nothing is sent.

        Raises:
            RequestRefused: it cannot; the sentence says what to change.
        """
        ...

    @property
    def tells_models(self) -> bool:
        """Whether the service itself says anything about its models, so that `check_live` asks it."""
        ...

    def check_live(self, ask: Ask, *, on: date) -> list[str]:
        """Hold what `ask` would send against what the service itself says about the model today.

        Returns:
            Warnings for a person, as of the day `on`; none where the service says nothing about its models.

        Raises:
            RequestRefused: the service has no such model, or would ignore a part of what is sent, and bill.
            ModelRetired: the service says that the model has ended.
            ProviderError: the service could not be asked.
        """
        ...

    def warnings(self, ask: Ask) -> Sequence[str]:
        """Sentences about wishes that are left out of the submission, usually none."""
        ...

    @property
    def checks_prompts(self) -> bool:
        """Whether the service tells beforehand, and for nothing, that it refuses a text."""
        ...

    def objection(self, text: str) -> str | None:
        """Why the service would refuse `text`, or None; also where the service has no such call.

        Raises:
            ProviderError: the service could not be asked.
        """
        ...

    def submit(self, ask: Ask) -> Accepted | Delivered:
        """Raises what `Adapter.read_submit` raises, `NotSent` when nothing left, `MaybeSent` when it may have."""
        ...

    def poll(self, job_id: str) -> Progress:
        """Raises what `Adapter.read_poll` raises; a synchronous lane has no jobs and `ReplyUnreadable` for every id."""
        ...

    @property
    def cancels(self) -> bool:
        """Whether a job at work can be stopped."""
        ...

    def cancel(self, job_id: str) -> bool:
        """Ask the service to stop a job, which a later `poll` then finds ended; False where it has no such call.

        Raises:
            ProviderError: the wish did not arrive, or may not have; asking again is harmless.
        """
        ...

    def fetch_picture(self, url: str, *, total_s: float | None = None) -> bytes:
        """The file behind `url`, whole.

        Args:
            total_s: for a caller who cannot wait; None for as long as a large picture may take.

        Raises:
            PictureAway: not to be had now.
            PictureLost: the address answers 404 or 410.
            NotAPicture: too large, or not what its type says.
        """
        ...

    @property
    def takes_files(self) -> bool:
        """Whether `upload_reference` gives files addresses; where not, references need public ones of their own."""
        ...

    def upload_reference(self, content: bytes, media_type: str) -> str | None:
        """An address under which the service can read `content`, where the lane itself offers one."""
        ...

    def reads_reference(self, media_type: str, *, size: int) -> bool:
        """Whether the service reads a reference file of this type and of so many bytes."""
        ...

    def first_look_after(self, settings: Mapping[str, Any], *, model: str) -> timedelta:
        """When most jobs of this kind are done; on a synchronous lane, when most submissions come back."""
        ...

    def account(self) -> AccountInfo | None:
        """What the service says about the account; None where it has no such call."""
        ...

    @property
    def submit_total_s(self) -> float:
        """A submission is over after this many seconds, whatever happened."""
        ...

    @property
    def synchronous(self) -> bool:
        """Whether a submission lasts as long as the work and brings the result: there is nothing to poll or list."""
        ...
