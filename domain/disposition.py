"""Decide what a failure means for an attempt, its generation, its money and its lane. One pure function.

Every step hands its failure and the facts here; `db.moves.failures` writes down the answer. So what a failure means is
read in one place, and the table of `docs/reliability.md` is this function in words.
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final, assert_never

from domain.errors import (
    ContentRefused,
    JobFailed,
    JobTimedOut,
    LikenessError,
    MaybeSent,
    OutOfMemory,
    PictureError,
    PictureLost,
    ProviderError,
    RequestRefused,
    ScorerBroken,
    ScorerError,
    ServiceMissing,
)
from domain.faults import Outage, is_fault
from domain.retry import TryAgain, closing_reason, closure, concerns_lane, decide, requested_wait
from domain.schedule import after_silence

#: A lane that cannot be reached although its attempts tried: long enough to spare it, short enough to notice.
UNREACHABLE: Final = timedelta(seconds=30)
#: A key or a file that this machine lacks, before anything is paid: another machine may have it.
NOT_ON_THIS_MACHINE: Final = timedelta(seconds=60)
#: Writing the request failed, as where the provider's own upload of a reference did.
NOT_WRITTEN: Final = timedelta(seconds=5)
#: The store, a key, a reference or the scorer is missing for a paid attempt: somebody has to see to it.
MISSING_FOR_A_PAID_ATTEMPT: Final = timedelta(seconds=20)
#: Postgres went away and comes back by itself.
BACK_SOON: Final = timedelta(seconds=2)
#: An address that does not answer may have run out; the next try asks the provider for a new one.
NEW_ADDRESS: Final = timedelta(seconds=2)

#: The provider's last word about a job; every other failure of a look says nothing about it.
LAST_WORDS: Final = (JobFailed, JobTimedOut, ContentRefused, RequestRefused)


class Step(StrEnum):
    """What was being done when the failure came."""

    PREPARING = "preparing"  # the request is being written: nothing is claimed, and nothing was sent
    SUBMITTING = "submitting"  # the intent is written, and the call was made or given up
    IN_DOUBT = "in_doubt"  # the call's own answer came after its lease; rescue has put the attempt in doubt
    LOOKING = "looking"  # the provider was asked about its job
    COLLECTING = "collecting"
    VALIDATING = "validating"


class Becomes(StrEnum):
    """What becomes of the attempt."""

    REPEATED = "repeated"  # the same step again after `wait`, one try of the step counted; hold and place are kept
    RELEASED = "released"  # the same step again after `wait`, no try counted: this machine lacks something
    SILENT = "silent"  # its job goes on unheard of; the next look is due after `wait`
    DOUBTED = "doubted"  # the job may exist; hold and place are kept until the doubt is settled
    QUEUED = "queued"  # over; its generation waits in the queue for another attempt
    FAILED = "failed"  # over, and its generation fails
    UNCHANGED = "unchanged"  # the failure says nothing new
    CANCELED = "canceled"  # over, since a person canceled the generation meanwhile; only the row knows


class Hold(StrEnum):
    """What becomes of the money that was set aside for the attempt."""

    KEPT = "kept"
    DOUBTED = "doubted"
    RELEASED = "released"  # unless its charge was booked before
    CHARGED = "charged"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a decision about a failure needs to know besides it.

    Args:
        tries: of this step by this attempt, the one that failed included.
        tries_allowed: of this step.
        generation_tries: of the generation since its last verdict, this attempt included.
        generation_tries_allowed: attempts that may fail at the provider and cost nothing.
        number: of the attempt among those of its generation, from 1.
        jitter: in [0, 1), spreads a wait.
        outage: what the lane's faults in a row say, this one included; None before they were read, or for nothing.
        lane_is_served: whether this process has the lane's key.
        addresses_may_be_renewed: whether the provider can be asked for new addresses of the pictures.
        is_last_word: the provider itself said that there is nothing to fetch.
        device_wait: how long those wait for whom the device has no room.
    """

    step: Step
    tries: int = 1
    tries_allowed: int = 1
    generation_tries: int = 1
    generation_tries_allowed: int = 1
    number: int = 1
    jitter: float = 0.5
    outage: Outage | None = None
    lane_is_served: bool = True
    addresses_may_be_renewed: bool = False
    is_last_word: bool = False
    device_wait: timedelta = MISSING_FOR_A_PAID_ATTEMPT


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneClosure:
    """The lane takes nothing for `wait`; `reason` is for people."""

    reason: str
    wait: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Disposition:
    """What becomes of an attempt after a failure.

    Args:
        failure: what the rows say; the failure itself, or what it comes to in the end.
        wait: until the step is repeated, or the least time until the generation's next attempt; None: at once.
        counts: whether it was a failed try of the generation.
        notes_error: whether the lane's row tells of the failure.
        closes_lane: None where the lane stays as it is.
        may_be_outage: the faults of the lane in a row must be weighed: decide again with `Facts.outage`.
        ends_process: nothing more can be done in this process.
    """

    becomes: Becomes
    failure: LikenessError
    wait: timedelta | None = None
    counts: bool = False
    notes_error: bool = False
    closes_lane: LaneClosure | None = None
    may_be_outage: bool = False
    ends_process: bool = False

    @property
    def hold(self) -> Hold:
        """What becomes of the attempt's money."""
        if self.becomes is Becomes.DOUBTED:
            return Hold.DOUBTED
        if self.becomes not in {Becomes.QUEUED, Becomes.FAILED, Becomes.CANCELED}:
            return Hold.KEPT
        paid = isinstance(self.failure, ProviderError) and self.failure.charged_usd
        return Hold.CHARGED if paid else Hold.RELEASED


def disposition(failure: LikenessError, facts: Facts) -> Disposition:
    """What becomes of the attempt whose step ended in `failure`. Pure.

    Database rows are facts too: where `may_be_outage` is set, whoever applies the answer reads the lane's faults under
    the lane's lock and asks again.
    """
    match facts.step:
        case Step.PREPARING:
            return _preparing(failure, facts)
        case Step.SUBMITTING:
            return _submitting(failure, facts)
        case Step.IN_DOUBT:
            return _in_doubt(failure)
        case Step.LOOKING:
            return _looking(failure, facts)
        case Step.COLLECTING:
            return _collecting(failure, facts)
        case Step.VALIDATING:
            return _validating(failure, facts)
        case _:
            assert_never(facts.step)


def _preparing(failure: LikenessError, facts: Facts) -> Disposition:
    """Nothing was sent. The person's mistake ends the generation; anything else waits in the queue."""
    if not facts.lane_is_served:
        closes = LaneClosure(reason=closing_reason(failure), wait=NOT_ON_THIS_MACHINE)
        return Disposition(becomes=Becomes.QUEUED, failure=failure, closes_lane=closes)
    if isinstance(failure, ServiceMissing):
        return Disposition(becomes=Becomes.QUEUED, failure=failure, wait=NOT_ON_THIS_MACHINE, notes_error=True)
    if failure.retryable:
        return Disposition(becomes=Becomes.QUEUED, failure=failure, wait=NOT_WRITTEN, notes_error=True)
    return Disposition(becomes=Becomes.FAILED, failure=failure, counts=True)


def _submitting(failure: LikenessError, facts: Facts) -> Disposition:
    """Unless it is in doubt, the request was certainly not accepted."""
    if isinstance(failure, MaybeSent):
        return Disposition(becomes=Becomes.DOUBTED, failure=failure, notes_error=True)
    closing = closure(failure)
    decision = decide(failure, tries=facts.tries, limit=facts.tries_allowed, jitter=facts.jitter)
    if closing is None and isinstance(decision, TryAgain):
        return Disposition(becomes=Becomes.REPEATED, failure=failure, wait=decision.wait, notes_error=True)
    if not concerns_lane(failure):
        return _failed_try(failure, facts)
    # An open lane would be given the same attempt again at once.
    closes = LaneClosure(reason=closing_reason(failure), wait=closing or UNREACHABLE)
    return Disposition(becomes=Becomes.QUEUED, failure=failure, notes_error=True, closes_lane=closes)


def _in_doubt(failure: LikenessError) -> Disposition:
    """A refusal that is certain settles the doubt, however late it is heard of."""
    if isinstance(failure, MaybeSent):
        return Disposition(becomes=Becomes.UNCHANGED, failure=failure)
    return Disposition(becomes=Becomes.QUEUED, failure=failure, wait=UNREACHABLE)


def _looking(failure: LikenessError, facts: Facts) -> Disposition:
    if isinstance(failure, LAST_WORDS):
        return _failed_try(failure, facts)
    # The call said nothing about the job, so nothing is known about the job.
    usual = after_silence(silences=facts.tries)
    wait = max(usual, requested_wait(failure) or usual)
    return Disposition(becomes=Becomes.SILENT, failure=failure, wait=wait, notes_error=True)


def _failed_try(failure: LikenessError, facts: Facts) -> Disposition:
    """The provider will not have it: another attempt while one may help, the end, or an outage that counts no try."""
    decision = decide(failure, tries=facts.generation_tries, limit=facts.generation_tries_allowed, jitter=facts.jitter)
    becomes, wait = (Becomes.QUEUED, decision.wait) if isinstance(decision, TryAgain) else (Becomes.FAILED, None)
    counts, closes, outage = True, None, facts.outage
    if outage is not None and outage.closes:
        closes = LaneClosure(reason=outage.reason(failure), wait=outage.pause)
    if outage is not None and not outage.counts:
        becomes, wait, counts = Becomes.QUEUED, outage.wait(facts.number), False
    return Disposition(
        becomes=becomes,
        failure=failure,
        wait=wait,
        counts=counts,
        notes_error=True,
        closes_lane=closes,
        may_be_outage=is_fault(failure),
    )


def _collecting(failure: LikenessError, facts: Facts) -> Disposition:
    """The attempt is paid for: it is given up only when nothing is to be had."""
    if isinstance(failure, ServiceMissing):
        return _missing(failure)
    if isinstance(failure, ScorerError) or facts.is_last_word:
        return Disposition(becomes=Becomes.FAILED, failure=failure, counts=True)
    decision = decide(failure, tries=facts.tries, limit=facts.tries_allowed, jitter=facts.jitter)
    if isinstance(decision, TryAgain):
        return Disposition(becomes=Becomes.REPEATED, failure=failure, wait=decision.wait)
    if facts.addresses_may_be_renewed and facts.tries < facts.tries_allowed:
        return Disposition(becomes=Becomes.REPEATED, failure=failure, wait=NEW_ADDRESS)
    lost = PictureLost(f"paid for, and no picture is to be had after {facts.tries} tries: {failure}")
    return Disposition(becomes=Becomes.FAILED, failure=lost, counts=True)


def _validating(failure: LikenessError, facts: Facts) -> Disposition:
    """The operator's business costs a paid attempt none of its tries, however long it lasts."""
    if isinstance(failure, ServiceMissing):
        return _missing(failure)
    if isinstance(failure, OutOfMemory):
        return Disposition(becomes=Becomes.RELEASED, failure=failure, wait=facts.device_wait)
    if isinstance(failure, ScorerBroken):
        wait = MISSING_FOR_A_PAID_ATTEMPT
        return Disposition(becomes=Becomes.RELEASED, failure=failure, wait=wait, ends_process=True)
    if not isinstance(failure, PictureError):
        return Disposition(becomes=Becomes.FAILED, failure=failure, counts=True)
    # A stored original cannot be read: a store may be late or mounted wrongly.
    decision = decide(failure, tries=facts.tries, limit=facts.tries_allowed, jitter=facts.jitter)
    if isinstance(decision, TryAgain):
        return Disposition(becomes=Becomes.REPEATED, failure=failure, wait=decision.wait)
    lost = PictureLost(f"paid for and stored, and gone from the store: {failure}")
    return Disposition(becomes=Becomes.FAILED, failure=lost, counts=True)


def _missing(failure: ServiceMissing) -> Disposition:
    wait = BACK_SOON if failure.retryable else MISSING_FOR_A_PAID_ATTEMPT
    return Disposition(becomes=Becomes.RELEASED, failure=failure, wait=wait)
