"""The token bucket of a lane, shared by all workers: state and arithmetic in Redis, the limit from the lane's row.

How submissions wait for tokens inside a worker is in `tasks.consumer`; what a lane's limit is, its row says.
The only key is `likeness:token:<lane>`: a string, the Redis time of the lane's last token in microseconds, kept for
one period and a minute.
"""

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import redis
from celery.utils.time import rate
from redis.backoff import NoBackoff
from redis.retry import Retry

from tasks import names

logger = logging.getLogger(__name__)

Limit = str | float | None
"""A limit as Celery spells it ("20/s", "600/m", "100/h", 5); None, 0 and "0" mean no limit."""

SUBMIT_PREFIX = names.submit("")
#: How a message says that it has no arguments.
_NOTHING = frozenset({None, "", "()", "[]"})
TOKEN_KEY = "likeness:token:{lane}"  # noqa: S105  # a key of Redis, not a secret
TAKEN_AT = "token_taken_at"
"""The attribute of a task's request that says when its token was taken, on this machine's monotonic clock."""

SHARE = 0.98
"""The share of a limit that is used. N + 1 tokens are then at least window / 0.98 apart, so that no closed window
holds more than N of them, and up to 2 % of the window is left for the way from the token to the wire."""

MADE_UP_SHARE = (1 - SHARE) / 2
"""The share of a limit's window by which a token may be late without loss, at most half a period: the other half of
what `SHARE` leaves stays for the way to the wire. A busy machine's timers are late by some milliseconds every time; at
ten a second that would cost a tenth of the limit."""
_WINDOWS_S = {"s": 1.0, "m": 60.0, "h": 3600.0}

TOKEN_LIFE_S = 1.0
RETRY_S = 1.0
LIMIT_AGE_S = 1.0
LIMIT_TRUST_S = 2.0
LIMIT_PENDING_S = 0.05

# GCRA with a burst of one: a token conforms when a period has passed since the last one. Stored is the time of the last
# token and not the theoretical arrival of the next, so that a new limit holds from the next token on. A token that was
# late counts as taken when it was due, or so much earlier than now as is made up for; N + 1 tokens are then at least
# N periods less that apart. When the clock of Redis was set back, the last token counts as taken now: one period is
# lost instead of the whole step.
#
#   KEYS[1]  likeness:token:<lane>
#   ARGV[1]  period in microseconds
#   ARGV[2]  how late a token may be without loss, in microseconds
#   ARGV[3]  now in microseconds, or empty for the time of Redis
#   returns  microseconds to wait, or 0 when the token was taken
TAKE = """
local period = tonumber(ARGV[1])
local now = tonumber(ARGV[3])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
local last = tonumber(redis.call('GET', KEYS[1]) or '')
local life_ms = math.ceil(period / 1000) + 60000
if last and last > now then
  redis.call('SET', KEYS[1], string.format('%.0f', now), 'PX', life_ms)
  return period
end
if last and now - last < period then
  return period - (now - last)
end
local counted = last and math.max(last + period, now - tonumber(ARGV[2])) or now
redis.call('SET', KEYS[1], string.format('%.0f', counted), 'PX', life_ms)
return 0
"""


class LimitUnknown(LookupError):
    """A lane's limit has not been read yet, or too long ago to rely on.

    Args:
        lane: the lane.
        retry_in_s: when to ask again.
    """

    def __init__(self, lane: str, *, retry_in_s: float) -> None:
        super().__init__(f"the limit of lane {lane!r} is not known")
        self.retry_in_s = retry_in_s


def lane_of_task(task_name: str) -> str | None:
    """The lane that a task submits to; None for every task that is not a submission."""
    lane = task_name.removeprefix(SUBMIT_PREFIX)
    return lane if lane and lane != task_name else None


def period_us(limit: Limit) -> int | None:
    """Microseconds between two tokens under a limit; None without a limit.

    Raises:
        ValueError: Celery can't read the limit, or it is negative or not finite.
    """
    try:
        per_s = float(rate(cast("str", limit)))  # it reads numbers and None too
    except (KeyError, TypeError, ValueError) as exc:
        raise ValueError(f"{limit!r} is not a rate limit; write one as 20/s, 600/m or 100/h, or 0 for none") from exc
    if not math.isfinite(per_s) or per_s < 0:
        raise ValueError(f"{limit!r} is not a rate limit; a rate is finite and not negative")
    return math.ceil(1_000_000 / (SHARE * per_s)) if per_s else None


def made_up_us(limit: Limit) -> int:
    """Microseconds by which a token under a limit may be late without loss; 0 without a limit.

    Raises:
        ValueError: as `period_us`.
    """
    period = period_us(limit)
    window_s = _WINDOWS_S[str(limit).partition("/")[2].strip() or "s"]
    return 0 if period is None else math.floor(min(period / 2, MADE_UP_SHARE * window_s * 1_000_000))


def open_token_store(url: str) -> redis.Redis:
    """A client that gives up soon: it is asked from a worker's event loop, which nothing may hold up for long."""
    return redis.Redis.from_url(url, socket_timeout=0.5, socket_connect_timeout=0.5, retry=Retry(NoBackoff(), 0))


class TokenBucket:
    """The tokens of one lane, in Redis."""

    def __init__(self, store: redis.Redis, lane: str) -> None:
        self.lane = lane
        self._key = TOKEN_KEY.format(lane=lane)
        self._script = store.register_script(TAKE)

    def take(self, period: int, *, made_up: int = 0, now_us: int | None = None) -> float:
        """Takes a token, or says how long there is none.

        Args:
            period: microseconds between two tokens.
            made_up: microseconds by which this token may be late without delaying the next one.
            now_us: the time, in place of the time of Redis. Callers that bring it share one clock.

        Returns:
            0.0 when the token was taken, otherwise the seconds until there may be one.

        Raises:
            redis.RedisError: no answer; a token may have been lost, none was given.
        """
        wait_us = self._script(keys=[self._key], args=[period, made_up, "" if now_us is None else now_us])
        return cast("int", wait_us) / 1_000_000


def token_taken_at(request: object) -> float | None:
    """When the token of the running task was taken (`time.monotonic`); None when it needed none.

    Args:
        request: the `request` of a bound task.
    """
    return cast("float | None", getattr(request, TAKEN_AT, None))


def is_fresh(taken_at: float | None) -> bool:
    """Whether a token taken then may still start a POST; None is not."""
    return taken_at is not None and time.monotonic() - taken_at <= TOKEN_LIFE_S


def ensure_fresh_token(store: redis.Redis, lane: str, *, limit: Limit, taken_at: float | None) -> float:
    """Takes a new token for a POST whose own is older than a second. A task asks right before it claims and sends.

    A submission may wait for a thread or a lock between its token and its POST. Two that were held up together would
    leave together; each takes a new token instead:

        wait_s = ensure_fresh_token(store, lane, limit=limit, taken_at=token_taken_at(self.request))
        if wait_s:
            raise self.retry(countdown=wait_s)  # comes back through the bucket and brings a new token

    Args:
        store: Redis, see `open_token_store`.
        lane: the lane.
        limit: the lane's limit, as its row has it.
        taken_at: see `token_taken_at`; None counts as stale.

    Returns:
        0.0 when the POST may start within the next second, otherwise the seconds to wait before asking again. Without
        an answer from Redis that is a second: no POST leaves unlimited.

    Raises:
        ValueError: the limit can't be read.
    """
    period = period_us(limit)
    if period is None or is_fresh(taken_at):
        return 0.0
    try:
        return TokenBucket(store, lane).take(period, made_up=made_up_us(limit))
    except redis.RedisError as exc:
        logger.warning("no token for lane %s, Redis does not answer: %s", lane, exc)
        return RETRY_S


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    period_us: int | None
    made_up_us: int
    read_at: float


class LimitReader:
    """The limits of the lanes, read in a thread of their own and remembered for a second.

    The event loop of a worker asks, and must not wait for a database. A limit that could not be read for two seconds is
    unknown again, never "none".

    Args:
        read: lane to limit; may block and may raise.
        clock: seconds, monotonic.
    """

    def __init__(self, read: Callable[[str], Limit], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._read = read
        self._clock = clock
        self._known: dict[str, _Known] = {}
        self._reading: set[str] = set()
        self._failed_at: dict[str, float] = {}

    def period_us(self, lane: str) -> int | None:
        """Microseconds between two tokens of a lane; None without a limit. Never blocks.

        Raises:
            LimitUnknown: ask again a little later.
        """
        now = self._clock()
        known = self._known.get(lane)
        if known is None or now - known.read_at >= LIMIT_AGE_S:
            self._refresh(lane, now)
        if known is None or now - known.read_at > LIMIT_TRUST_S:
            raise LimitUnknown(lane, retry_in_s=LIMIT_PENDING_S if lane in self._reading else RETRY_S)
        return known.period_us

    def made_up_us(self, lane: str) -> int:
        """As the function of that name, for the limit of a lane as it was last read; 0 before."""
        known = self._known.get(lane)
        return 0 if known is None else known.made_up_us

    def forget(self) -> None:
        """Lets the next question about any lane read anew."""
        self._known.clear()
        self._failed_at.clear()

    def _refresh(self, lane: str, now: float) -> None:
        failed_at = self._failed_at.get(lane)
        if lane in self._reading or (failed_at is not None and now - failed_at < RETRY_S):
            return
        self._reading.add(lane)
        threading.Thread(target=self._read_now, args=(lane,), name=f"limit-{lane}", daemon=True).start()

    def _read_now(self, lane: str) -> None:
        try:
            limit = self._read(lane)
            self._known[lane] = _Known(period_us=period_us(limit), made_up_us=made_up_us(limit), read_at=self._clock())
        except Exception as exc:  # noqa: BLE001  # the top of a thread: whatever the source raises, the lane waits
            if lane not in self._failed_at:
                logger.warning("the limit of lane %s can't be read, its submissions wait: %r", lane, exc)
            self._failed_at[lane] = self._clock()
        else:
            if self._failed_at.pop(lane, None) is not None:
                logger.info("the limit of lane %s is read again", lane)
        finally:
            self._reading.discard(lane)


@dataclass(slots=True, kw_only=True, eq=False)
class Held:
    """A request that waits for a token since a moment, and whether the prefetch count was raised for it."""

    request: Any
    raised: bool = False
    since: float = field(default_factory=time.monotonic)


class SharedBucket:
    """What one worker holds back for one lane: its waiting requests, in order, and the way to the lane's tokens.

    Celery's `Consumer` calls `clear_pending` when a connection or the worker ends; the rest is ours.

    Args:
        tokens: the lane's tokens.
        limits: where the lane's limit is read.

    Attributes:
        contents: the waiting requests.
        due: when to ask for the next token, on the monotonic clock.
    """

    def __init__(self, tokens: TokenBucket, *, limits: LimitReader) -> None:
        self.lane = tokens.lane
        self.contents: deque[Held] = deque()
        self.due = 0.0
        self._tokens = tokens
        self._limits = limits
        self._away = False

    def clear_pending(self) -> None:
        """Drops the waiting requests unanswered: the broker gives their messages out again."""
        self.contents.clear()

    def holds_copy_of(self, request: Any) -> bool:
        """Whether one that waits here is about the same attempt: it does all that this one would.

        One without arguments is about no attempt, and nobody's copy.
        """
        about = request.argsrepr
        return about not in _NOTHING and any(held.request.argsrepr == about for held in self.contents)

    def take(self) -> float:
        """Takes a token for one request; never raises.

        Returns:
            0.0 when a request may go, otherwise the seconds to wait before asking again: also when the limit is not
            known yet, and when Redis does not answer.
        """
        lane = self.lane
        try:
            period = self._limits.period_us(lane)
        except LimitUnknown as exc:
            return exc.retry_in_s
        if period is None:
            return 0.0
        try:
            wait_s = self._tokens.take(period, made_up=self._limits.made_up_us(lane))
        except redis.RedisError as exc:
            if not self._away:
                logger.warning("Redis does not answer, submissions to lane %s wait: %s", lane, exc)
            self._away = True
            return RETRY_S
        if self._away:
            logger.info("Redis answers again, submissions to lane %s go on", lane)
        self._away = False
        return wait_s
