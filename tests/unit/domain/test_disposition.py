"""What becomes of an attempt after a failure: every class of failure at every step, and each fact that matters."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from db.moves.doubts import NeverArrived
from db.session import DatabaseAway
from domain import errors
from domain.disposition import (
    BACK_SOON,
    LAST_WORDS,
    MISSING_FOR_A_PAID_ATTEMPT,
    NEW_ADDRESS,
    NOT_ON_THIS_MACHINE,
    NOT_WRITTEN,
    UNREACHABLE,
    Becomes,
    Disposition,
    Facts,
    Hold,
    Step,
    disposition,
)
from domain.errors import (
    BadInput,
    ContentRefused,
    JobFailed,
    JobTimedOut,
    KeyRefused,
    LikenessError,
    MaybeSent,
    NotAPicture,
    NotSent,
    OutOfMemory,
    OutOfMoney,
    PictureAway,
    PictureLost,
    ProviderDown,
    QueueFull,
    RateLimited,
    ReplyUnreadable,
    RequestRefused,
    ScorerBroken,
    ScorerError,
    ServiceMissing,
    UnfitPicture,
)
from domain.faults import Outage


def _classes(base: type[LikenessError] = LikenessError) -> Iterator[type[LikenessError]]:
    for one in base.__subclasses__():
        if one.__module__ == errors.__name__:
            yield one
            yield from _classes(one)


CLASSES = sorted({*_classes(), DatabaseAway, NeverArrived}, key=lambda kind: kind.__name__)
SECOND = timedelta(seconds=1)


def _decide(failure: LikenessError, step: Step, **known: Any) -> Disposition:
    usual: dict[str, Any] = {"tries_allowed": 3, "generation_tries_allowed": 3, "jitter": 0.999999}
    return disposition(failure, Facts(step=step, **{**usual, **known}))


def _names(step: Step, becomes: Becomes, **known: Any) -> set[str]:
    return {kind.__name__ for kind in CLASSES if _decide(kind("x"), step, **known).becomes is becomes}


_PROVIDER_REFUSES_US = {"KeyRefused", "OutOfMoney", "QueueFull", "RateLimited"}
_WORTH_ANOTHER_TRY = {
    "DatabaseAway",
    "JobFailed",
    "JobTimedOut",
    "NeverArrived",
    "NotAPicture",
    "NotSent",
    "OutOfMemory",
    "PictureAway",
    "ProviderDown",
    "ReplyUnreadable",
    *_PROVIDER_REFUSES_US,
}


@pytest.mark.parametrize("step", Step)
@pytest.mark.parametrize("kind", CLASSES)
def test_every_failure_at_every_step_has_an_answer(kind: type[LikenessError], step: Step) -> None:
    decided = _decide(kind("x"), step)
    waits = decided.becomes in {Becomes.REPEATED, Becomes.RELEASED, Becomes.SILENT}
    assert not waits or decided.wait is not None, "a step that is repeated says when"
    assert decided.becomes is not Becomes.CANCELED, "which only the row knows"


def test_what_is_doubted_keeps_its_money_and_what_ends_releases_it() -> None:
    holds = {becomes: Disposition(becomes=becomes, failure=NotSent("x")).hold for becomes in Becomes}
    assert holds == {
        Becomes.REPEATED: Hold.KEPT,
        Becomes.RELEASED: Hold.KEPT,
        Becomes.SILENT: Hold.KEPT,
        Becomes.UNCHANGED: Hold.KEPT,
        Becomes.DOUBTED: Hold.DOUBTED,
        Becomes.QUEUED: Hold.RELEASED,
        Becomes.FAILED: Hold.RELEASED,
        Becomes.CANCELED: Hold.RELEASED,
    }
    kept = JobFailed("x", charged_usd=Decimal("0.02"))
    assert Disposition(becomes=Becomes.FAILED, failure=kept).hold is Hold.CHARGED


# Before the intent.


def test_writing_a_request_fails_the_generation_only_where_the_request_is_wrong() -> None:
    queued = _names(Step.PREPARING, Becomes.QUEUED)
    assert queued == {"ServiceMissing", *_WORTH_ANOTHER_TRY}
    assert _names(Step.PREPARING, Becomes.FAILED) == {kind.__name__ for kind in CLASSES} - queued


@pytest.mark.parametrize(
    ("failure", "wait"),
    [(ServiceMissing("x"), NOT_ON_THIS_MACHINE), (ProviderDown("x"), NOT_WRITTEN), (BadInput("x"), None)],
)
def test_what_was_not_written_waits_and_counts_no_try(failure: LikenessError, wait: timedelta | None) -> None:
    decided = _decide(failure, Step.PREPARING)
    assert decided.wait == wait
    assert (decided.counts, decided.notes_error) == (wait is None, wait is not None)


def test_a_lane_whose_key_is_not_here_is_closed() -> None:
    decided = _decide(ServiceMissing("no key"), Step.PREPARING, lane_is_served=False)
    assert (decided.becomes, decided.wait, decided.counts) == (Becomes.QUEUED, None, False)
    assert decided.closes_lane is not None
    assert (decided.closes_lane.reason, decided.closes_lane.wait) == ("service_missing: no key", NOT_ON_THIS_MACHINE)


# A submission.


def test_a_lost_reply_is_a_doubt_and_nothing_else_is() -> None:
    assert _names(Step.SUBMITTING, Becomes.DOUBTED) == {"MaybeSent"}


def test_a_submission_is_repeated_where_another_try_may_help_and_the_lane_is_not_to_blame() -> None:
    assert _names(Step.SUBMITTING, Becomes.REPEATED) == _WORTH_ANOTHER_TRY - _PROVIDER_REFUSES_US


@pytest.mark.parametrize("failure", [RateLimited("x"), QueueFull("x"), OutOfMoney("x"), KeyRefused("x")])
def test_what_concerns_the_account_closes_the_lane_at_once(failure: LikenessError) -> None:
    decided = _decide(failure, Step.SUBMITTING)
    assert (decided.becomes, decided.counts, decided.wait) == (Becomes.QUEUED, False, None)
    assert decided.closes_lane is not None
    assert decided.closes_lane.wait >= timedelta(seconds=5)


def test_a_lane_closes_for_as_long_as_the_provider_asks() -> None:
    decided = _decide(RateLimited("x", retry_after_s=90), Step.SUBMITTING)
    assert decided.closes_lane is not None
    assert decided.closes_lane.wait == timedelta(seconds=90)


def test_a_provider_that_cannot_be_reached_closes_the_lane_after_the_last_try() -> None:
    tries = [_decide(NotSent("x"), Step.SUBMITTING, tries=tries) for tries in (1, 2, 3)]
    assert [one.becomes for one in tries] == [Becomes.REPEATED, Becomes.REPEATED, Becomes.QUEUED]
    assert [round(one.wait.total_seconds()) for one in tries if one.wait is not None] == [1, 2]
    assert tries[-1].closes_lane is not None
    assert tries[-1].closes_lane.wait == UNREACHABLE
    assert not any(one.counts for one in tries)


def test_a_refusal_of_the_request_fails_the_generation_with_its_reason() -> None:
    for failure in (RequestRefused("x"), ContentRefused("x")):
        decided = _decide(failure, Step.SUBMITTING)
        assert (decided.becomes, decided.counts, decided.closes_lane) == (Becomes.FAILED, True, None)


def test_a_fault_of_the_provider_is_a_failed_try_after_the_last_of_the_attempt() -> None:
    decided = _decide(JobFailed("x"), Step.SUBMITTING, tries=3)
    assert (decided.becomes, decided.counts, decided.may_be_outage) == (Becomes.QUEUED, True, True)
    last = _decide(JobFailed("x"), Step.SUBMITTING, tries=3, generation_tries=3)
    assert last.becomes is Becomes.FAILED


def test_a_certain_answer_settles_a_doubt_and_another_lost_one_does_not() -> None:
    assert _names(Step.IN_DOUBT, Becomes.UNCHANGED) == {"MaybeSent"}
    decided = _decide(RequestRefused("x"), Step.IN_DOUBT)
    assert (decided.becomes, decided.wait, decided.counts) == (Becomes.QUEUED, UNREACHABLE, False)


# A look at a job.


def test_only_the_providers_last_word_ends_a_job() -> None:
    ended = {kind.__name__ for kind in LAST_WORDS}
    others = {kind.__name__ for kind in CLASSES} - ended
    assert _names(Step.LOOKING, Becomes.SILENT) == others
    assert _names(Step.LOOKING, Becomes.QUEUED) == {"JobFailed", "JobTimedOut"}
    assert _names(Step.LOOKING, Becomes.FAILED) == {"ContentRefused", "RequestRefused"}


def test_looks_that_say_nothing_come_less_and_less_often_and_never_before_the_provider_wishes() -> None:
    waits = [_decide(ProviderDown("x"), Step.LOOKING, tries=tries).wait for tries in (1, 2, 3)]
    assert waits == [2 * SECOND, 4 * SECOND, 8 * SECOND]
    assert _decide(ReplyUnreadable("x", retry_after_s=40), Step.LOOKING).wait == 40 * SECOND


def test_a_failed_job_that_was_paid_for_is_not_tried_again() -> None:
    decided = _decide(JobFailed("x", charged_usd=Decimal("0.02")), Step.LOOKING)
    assert (decided.becomes, decided.hold, decided.may_be_outage) == (Becomes.FAILED, Hold.CHARGED, False)


@pytest.mark.parametrize("step", [Step.SUBMITTING, Step.LOOKING])
def test_an_outage_counts_no_try_and_lets_the_generation_wait(step: Step) -> None:
    outage = Outage(faults=5, pause=30 * SECOND, closes=True, counts=False)
    decided = _decide(JobFailed("x"), step, tries=3, generation_tries=3, number=2, outage=outage)
    assert (decided.becomes, decided.counts, decided.wait) == (Becomes.QUEUED, False, 60 * SECOND)
    assert decided.closes_lane is not None
    assert decided.closes_lane.wait == 30 * SECOND
    assert decided.closes_lane.reason.startswith("repeated_faults: 5 attempts")


def test_an_outage_that_has_closed_the_lane_already_closes_it_no_second_time() -> None:
    outage = Outage(faults=6, pause=30 * SECOND, closes=False, counts=False)
    assert _decide(JobTimedOut("x"), Step.LOOKING, outage=outage).closes_lane is None


def test_an_outage_that_lasts_too_long_is_a_failed_try_and_closes_the_lane() -> None:
    outage = Outage(faults=500, pause=30 * SECOND, closes=True, counts=True)
    decided = _decide(JobFailed("x"), Step.LOOKING, generation_tries=3, outage=outage)
    assert (decided.becomes, decided.counts) == (Becomes.FAILED, True)
    assert decided.closes_lane is not None


# A paid attempt.


@pytest.mark.parametrize("step", [Step.COLLECTING, Step.VALIDATING])
def test_what_this_machine_lacks_costs_a_paid_attempt_no_try(step: Step) -> None:
    for failure, wait in ((ServiceMissing("x"), MISSING_FOR_A_PAID_ATTEMPT), (DatabaseAway("x"), BACK_SOON)):
        decided = _decide(failure, step, tries=99)
        assert (decided.becomes, decided.wait) == (Becomes.RELEASED, wait)


def test_pictures_are_fetched_again_while_a_try_may_help() -> None:
    for failure in (PictureAway("x"), NotAPicture("x")):
        tries = [_decide(failure, Step.COLLECTING, tries=tries).becomes for tries in (1, 2, 3)]
        assert tries == [Becomes.REPEATED, Becomes.REPEATED, Becomes.FAILED]


def test_pictures_that_are_lost_fail_the_generation_with_the_last_reason() -> None:
    decided = _decide(PictureAway("404"), Step.COLLECTING, tries=3)
    assert isinstance(decided.failure, PictureLost)
    assert str(decided.failure) == "paid for, and no picture is to be had after 3 tries: 404"


def test_an_address_that_may_have_run_out_is_renewed_while_there_are_tries() -> None:
    tries = [_decide(PictureLost("404"), Step.COLLECTING, tries=n, addresses_may_be_renewed=True) for n in (1, 3)]
    assert [(one.becomes, one.wait) for one in tries] == [(Becomes.REPEATED, NEW_ADDRESS), (Becomes.FAILED, None)]
    assert _decide(PictureLost("404"), Step.COLLECTING).becomes is Becomes.FAILED


def test_the_providers_word_that_nothing_is_left_is_final_and_kept_as_it_is() -> None:
    said = PictureLost("paid for, and no picture is to be had: deleted")
    decided = _decide(said, Step.COLLECTING, is_last_word=True, addresses_may_be_renewed=True)
    assert (decided.becomes, decided.failure) == (Becomes.FAILED, said)


@pytest.mark.parametrize("step", [Step.COLLECTING, Step.VALIDATING])
def test_a_step_that_kills_its_workers_fails_its_generation(step: Step) -> None:
    poison = ScorerError("three workers died")
    decided = _decide(poison, step)
    assert (decided.becomes, decided.failure) == (Becomes.FAILED, poison)


def test_a_full_device_and_a_broken_scorer_are_not_the_pictures_fault() -> None:
    full = _decide(OutOfMemory("x"), Step.VALIDATING, tries=99, device_wait=8 * SECOND)
    assert (full.becomes, full.wait, full.ends_process) == (Becomes.RELEASED, 8 * SECOND, False)
    broken = _decide(ScorerBroken("x"), Step.VALIDATING, tries=99)
    assert (broken.becomes, broken.ends_process) == (Becomes.RELEASED, True)


def test_only_a_broken_scorer_ends_its_process() -> None:
    ends = {(kind.__name__, step) for kind in CLASSES for step in Step if _decide(kind("x"), step).ends_process}
    assert ends == {("ScorerBroken", Step.VALIDATING)}


def test_pictures_that_cannot_be_checked_fail_the_generation() -> None:
    assert _decide(UnfitPicture("x"), Step.VALIDATING).becomes is Becomes.FAILED


def test_an_original_that_cannot_be_read_is_looked_for_again_and_then_lost() -> None:
    tries = [_decide(PictureAway("not here"), Step.VALIDATING, tries=tries) for tries in (1, 2, 3)]
    assert [one.becomes for one in tries] == [Becomes.REPEATED, Becomes.REPEATED, Becomes.FAILED]
    assert str(tries[-1].failure) == "paid for and stored, and gone from the store: not here"


def test_the_wait_of_a_lost_reply_is_nobodys() -> None:
    decided = _decide(MaybeSent("lost"), Step.SUBMITTING, tries=1, tries_allowed=99)
    assert (decided.becomes, decided.hold, decided.wait) == (Becomes.DOUBTED, Hold.DOUBTED, None)
