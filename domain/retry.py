"""Decide whether a failed step is repeated, and after how long. Pure; `domain.disposition` decides all the rest."""

import math
from dataclasses import dataclass
from datetime import timedelta

from domain import errors
from domain.errors import LikenessError, ProviderError

BASE = timedelta(seconds=1)
#: A held submission keeps its slot and its money, so it must not be held long; longer waits go back to the queue.
CEILING = timedelta(seconds=60)
#: No service means a longer wait; what says so is a moment in the wrong form, or garbage.
LONGEST_WISH = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class TryAgain:
    """Repeat the same step after `wait`; the attempt, its hold and its slot are kept."""

    wait: timedelta


@dataclass(frozen=True, slots=True)
class GiveUp:
    """No further try of this step; `why` is a sentence for the row."""

    why: str


def decide(failure: LikenessError, *, tries: int, limit: int, jitter: float) -> TryAgain | GiveUp:
    """What becomes of a step whose `tries`-th try (from 1) ended in `failure`.

    Waits double from `BASE` up to `CEILING`; `jitter` in [0, 1) spreads each over its upper half, so
    that a fleet that failed together does not return together. The provider's own wish is a floor,
    never shortened; one above `CEILING` is no reason to hold a slot, and gives up.

    Pure: the caller throws the dice.
    """
    if isinstance(failure, ProviderError) and failure.charged_usd:
        return GiveUp(f"it was paid for, so that another try is a person's to ask for: {failure}")
    if not failure.retryable:
        return GiveUp(f"{failure.code} cannot be helped by another try")
    if tries >= limit:
        return GiveUp(f"{limit} tries used; the last one: {failure}")
    wait = min(BASE * 2 ** min(tries - 1, 16), CEILING) * (0.5 + jitter / 2)
    wait = max(wait, requested_wait(failure) or wait)
    if wait > CEILING:
        return GiveUp(f"the provider asks for {wait.total_seconds():.0f} s, longer than a slot is held")
    return TryAgain(wait)


def requested_wait(failure: LikenessError) -> timedelta | None:
    """How long the provider asks us to wait, at most `LONGEST_WISH`; None where it says nothing that can be meant."""
    seconds = failure.retry_after_s if isinstance(failure, ProviderError) else None
    if seconds is None or not math.isfinite(seconds) or seconds < 0:
        return None
    return timedelta(seconds=min(seconds, LONGEST_WISH.total_seconds()))


#: Failures that concern the whole lane: it is closed, and its attempts go back to the queue.
CLOSES_LANE: dict[type[LikenessError], timedelta] = {
    errors.RateLimited: timedelta(seconds=5),
    errors.QueueFull: timedelta(seconds=5),
    errors.OutOfMoney: timedelta(minutes=5),
    errors.KeyRefused: timedelta(minutes=5),
}


def concerns_lane(failure: LikenessError) -> bool:
    """Whether `failure` says something about the way to the provider or the account, and nothing about the request.

    Only such a failure may close a lane and give the attempt back untried: whatever is wrong with one request must not
    stop the others, and must come to an end.
    """
    return isinstance(failure, errors.NotSent) or type(failure) in CLOSES_LANE


def closing_reason(failure: LikenessError) -> str:
    """What the row of a lane says that was closed after `failure`: its code, said once, and its sentence."""
    return f"{failure.code}: {str(failure).removeprefix(f'[{failure.code}] ')}"[:500]


def closure(failure: LikenessError) -> timedelta | None:
    """How long the lane stays closed after `failure`, or None if the failure is the attempt's own.

    The provider's own wish wins when it is longer.
    """
    shortest = CLOSES_LANE.get(type(failure))
    if shortest is None:
        return None
    return max(shortest, requested_wait(failure) or shortest)
