"""Hold tasks back until their lane's bucket has a token; set as `worker_consumer = "tasks.consumer:LaneConsumer"`.

Submissions wait here for the tokens of `tasks.rate_limit`; every other task meets Celery's own consumer. Also here: the
remote command `rate_limit`, which writes a lane's limit to its row. Built for pools that run under Celery's event loop
(threads, prefork, solo on Redis): everything happens in that one thread.
"""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

import redis
from celery.exceptions import ImproperlyConfigured
from celery.worker import control
from celery.worker.consumer.consumer import Consumer
from celery.worker.state import task_ready

from tasks.rate_limit import (
    SUBMIT_PREFIX,
    TAKEN_AT,
    Held,
    Limit,
    LimitReader,
    SharedBucket,
    TokenBucket,
    lane_of_task,
    open_token_store,
    period_us,
)

logger = logging.getLogger(__name__)

EVENTS_APART_S = 0.2
"""How long a task's event may wait for others to be sent with."""

LONGEST_SLEEP_S = 0.5
"""A lane at 6/h would sleep for minutes; it looks up this often so that a raised limit is seen within two seconds."""


class LaneConsumer(Consumer):  # type: ignore[misc]  # celery has no type information, so its classes are Any
    """Celery's consumer with one bucket per lane that all workers share.

    It looks for four attributes of the app, none of them required:

    * `lane_limits`: lane to limit. May block and may raise: it is called in a thread, about once a second while
      submissions to the lane come. Without it a task's own `rate_limit` counts.
    * `store_lane_limit`: lane and limit; writes the row, for the remote command.
    * `token_waited`: lane and seconds; told how long each submission waited here for its token. Must not block.
    * `lane_redis`: the client that reaches the tokens, best from `open_token_store`; set before the worker starts.
      Without it one is opened on the broker's URL.

    Two things differ from Celery 5.7's own limits, besides where the tokens are:

    * One timer wakes all buckets. Celery sets one per held request, and kombu's `Hub.fire_timers` runs ten a turn and
      then sleeps for a second although more are due: a limit of 20/s delivers 1/s.
    * The prefetch count is raised by one for every held request. Otherwise held submissions fill it, and tasks of other
      queues wait for tokens that they do not need.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._buckets: dict[str, SharedBucket] = {}
        self._limits = LimitReader(self._read_limit)
        self._alarm: Any = None
        self._alarm_due = 0.0
        self._store: redis.Redis | None = None
        self._events_due = 0.0
        super().__init__(*args, **kwargs)

    def bucket_for_task(self, type: Any) -> Any:  # noqa: A002  # the name is Celery's
        """The lane's bucket for a submission, the same one every time; Celery's own for other tasks.

        Raises:
            ImproperlyConfigured: there are lanes and no Redis to share their tokens; the worker does not start.
        """
        lane = lane_of_task(type.name)
        if lane is None:
            return super().bucket_for_task(type)
        if lane not in self._buckets:
            self._store = self._store or self._open_store()
            self._buckets[lane] = SharedBucket(TokenBucket(self._store, lane), limits=self._limits)
        return self._buckets[lane]

    def reset_rate_limits(self) -> None:
        """Reads all limits anew. Held requests stay where they are."""
        self._limits.forget()
        super().reset_rate_limits()

    def on_close(self) -> None:
        """Runs when the connection is lost and when the worker stops: the broker gives held requests out again."""
        super().on_close()  # empties the buckets; the raised prefetch count goes with the connection
        self._cancel_alarm()

    def stop(self) -> None:
        """Sends the events of the last moment, whose timer will not run any more."""
        self._flush_events()
        super().stop()

    def on_connection_error_after_connected(self, exc: BaseException) -> None:
        """Lets go of a lost connection even where kombu cannot close it.

        Celery 5.7 closes it twice. Where the first go broke off, as on a BRPOP that was under way, the channel is left
        open with a transport that knows no address any more, and the second raises AttributeError: no error of a
        connection, so that the worker would end.
        """
        self.connection.close = _harmless(self.connection.close, "close")
        super().on_connection_error_after_connected(exc)

    def call_soon_ack(self, p: Any, *args: Any, **kwargs: Any) -> Any:
        """A message of a lost connection cannot be settled there; it is given out again, and the row decides."""
        return super().call_soon_ack(_harmless(p, "settle a message of"), *args, **kwargs)

    def on_send_event_buffered(self) -> None:
        """Lets the events of a fifth of a second leave as one message.

        Celery sends them at each turn of its loop, mostly one by one: a fifth of what an io worker computes.
        """
        now = time.monotonic()
        if self.hub and now >= self._events_due:
            # The timer runs out after this moment, whenever the loop comes to setting it: what is buffered until then
            # leaves with it. Threads of the pool come here, and only the loop may set a timer.
            self._events_due = now + EVENTS_APART_S
            self.hub.call_soon(self.timer.call_after, EVENTS_APART_S, self._flush_events)

    def _limit_task(self, request: Any, bucket: Any, tokens: int) -> None:
        if not isinstance(bucket, SharedBucket):
            super()._limit_task(request, bucket, tokens)
            return
        if bucket.holds_copy_of(request):
            # Published again while it waited. It would take a token and do nothing, and the next attempt wait for it.
            task_ready(request)
            request.reject(requeue=False)
            return
        held = Held(request=request)
        bucket.contents.append(held)
        if len(bucket.contents) == 1:
            self._release(bucket)
        if bucket.contents and bucket.contents[-1] is held:
            # The count may have reached `worker_eta_task_limit`; only what was added is taken back later.
            before = self.qos.value
            held.raised = self.qos.increment_eventually() > before
            self._set_alarm()

    def _limit_post_eta(self, request: Any, bucket: Any, tokens: int) -> None:
        if not isinstance(bucket, SharedBucket):
            super()._limit_post_eta(request, bucket, tokens)
            return
        self.qos.decrement_eventually()  # was raised while the request waited for its time
        self._limit_task(request, bucket, tokens)

    def _release(self, bucket: SharedBucket) -> None:
        """Hands requests to the pool while there are tokens. A revoked one settles itself and takes none."""
        while bucket.contents:
            held = bucket.contents[0]
            now = time.monotonic()
            bucket.due = now + LONGEST_SLEEP_S
            revoked = held.request.revoked()
            if not revoked and (wait_s := bucket.take()):
                bucket.due = now + min(wait_s, LONGEST_SLEEP_S)
                return
            bucket.contents.popleft()
            if held.raised:
                self.qos.decrement_eventually()
            if not revoked:
                held.request.request_dict[TAKEN_AT] = now
                self._tell_of_wait(bucket.lane, now - held.since)
                self._limit_move_to_pool(held.request)

    def _tell_of_wait(self, lane: str, seconds: float) -> None:
        told = getattr(self.app, "token_waited", None)
        if told is not None:
            told(lane, seconds)

    def _wake(self) -> None:
        self._alarm = None
        try:
            for bucket in self._buckets.values():
                if bucket.due <= time.monotonic():
                    self._release(bucket)
        finally:
            self._set_alarm()

    def _set_alarm(self) -> None:
        due = min((bucket.due for bucket in self._buckets.values() if bucket.contents), default=None)
        if due is None or (self._alarm is not None and self._alarm_due <= due):
            return
        self._cancel_alarm()
        self._alarm_due = due
        self._alarm = self.timer.call_after(max(0.0, due - time.monotonic()), self._wake)

    def _cancel_alarm(self) -> None:
        if self._alarm is not None:
            self.timer.cancel(self._alarm)
            self._alarm = None

    def _read_limit(self, lane: str) -> Limit:
        source = getattr(self.app, "lane_limits", None)
        limit: Limit = source(lane) if source else self.app.tasks[SUBMIT_PREFIX + lane].rate_limit
        return limit

    def _open_store(self) -> redis.Redis:
        store: redis.Redis | None = getattr(self.app, "lane_redis", None)
        if store is not None:
            return store
        try:
            return open_token_store(str(self.app.conf.broker_read_url))
        except ValueError as exc:
            raise ImproperlyConfigured("the broker's URL is not one of Redis; set the app's lane_redis") from exc


def _harmless(do: Callable[..., Any], what: str) -> Callable[..., None]:
    def done(*args: Any, **kwargs: Any) -> None:
        try:
            do(*args, **kwargs)
        except AttributeError as failure:
            logger.warning("could not %s a connection to Redis that was lost: %s", what, failure)

    return done


_rate_limit_of_celery = control.rate_limit


@control.control_command(  # type: ignore[untyped-decorator]  # celery has no type information
    name="rate_limit",
    args=[("task_name", str), ("rate_limit", str)],
    signature="<task_name> <rate_limit (e.g., 5/s | 5/m | 5/h)>",
)
def set_rate_limit(state: Any, task_name: str, rate_limit: Limit, **kwargs: Any) -> Mapping[str, str]:
    """Modify the rate limit of a task by type; that of a lane's submissions for all workers and for good."""
    lane = lane_of_task(task_name)
    store = getattr(state.app, "store_lane_limit", None)
    if lane is None or store is None or task_name not in state.app.tasks:
        reply: Mapping[str, str] = _rate_limit_of_celery(state, task_name, rate_limit, **kwargs)
        return reply
    try:
        period_us(rate_limit)
    except ValueError as exc:
        return {"error": str(exc)}
    store(lane, str(rate_limit or 0))
    state.app.tasks[task_name].rate_limit = rate_limit  # what Flower and `inspect registered` show
    state.consumer.reset_rate_limits()
    logger.info("lane %s: new rate limit %s", lane, rate_limit or "none")
    return {"ok": "new rate limit set successfully"}
