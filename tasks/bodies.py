"""Task bodies: each hands its resources and an id to one step. What a step decides is decided in `pipeline`.

Bodies are made for the application and the resources of one process, so that nothing is kept in a module.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast
from uuid import UUID

from celery import Celery, Task

from domain.ids import AttemptId, GenerationId
from pipeline.attempts import admit, collect, finishing, model_inputs, poll, rescue, submit, upload, validate
from pipeline.attempts.outcome import Again
from pipeline.doubts import by_listing
from pipeline.learning import preferences
from pipeline.operator import accounts, heartbeat
from pipeline.operator.lanes import rate_limit
from pipeline.preparing import prepare
from pipeline.process.bound_ids import working_on
from pipeline.process.traces import TRACEPARENT
from pipeline.resources import Resources
from pipeline.views import daily_audit
from tasks import names
from tasks.rate_limit import ensure_fresh_token, is_fresh, open_token_store, token_taken_at
from validation.preprocessing import Preprocessing

_Body = TypeVar("_Body", bound=Callable[..., None])


def _carry_out(task: Task[Any, Any], outcome: Again | None) -> None:
    """Celery's own retry does what the step decided; the count is in the row, so Celery counts nothing."""
    if outcome is not None:
        raise task.retry(countdown=outcome.wait.total_seconds(), max_retries=None)


def _task(app: Celery, *, name: str, **options: bool) -> Callable[[_Body], _Body]:
    """`app.task` for a body that is registered and never called: its overloads want to know `bind` beforehand."""
    task: Any = app.task
    # Not shared: Celery would give the task to every other application of this process as well.
    return cast("Callable[[_Body], _Body]", task(name=name, shared=False, **options))


@contextmanager
def _working(task: Task[Any, Any], resources: Resources, **ids: str) -> Iterator[None]:
    """Log about these ids, and trace on from the step that sent the message.

    Celery makes attributes of a message's headers, and keeps them in a retry.
    """
    with working_on(**ids), resources.traces.continuing(getattr(task.request, TRACEPARENT, None)):
        yield


def _attempt(text: str) -> AttemptId:
    return AttemptId(UUID(text))


def register_io(app: Celery, resources: Resources, *, preprocessing: Preprocessing) -> None:
    """The tasks of the `io` role: ticks, polls, collection, and one submission task per lane."""
    _register_ticks(app, resources)
    _register_prepare(app, resources)
    register_submits(app, resources, synchronous=False)

    @_task(app, name=names.COLLECT, bind=True)
    def collect_attempt(self: Task[Any, Any], attempt_id: str, *, generation_id: str) -> None:
        with _working(self, resources, attempt_id=attempt_id, generation_id=generation_id):
            _carry_out(self, collect.collect(resources, _attempt(attempt_id), preprocessing=preprocessing))

    @_task(app, name=names.REBUILD_INPUTS, bind=True)
    def rebuild_model_inputs(self: Task[Any, Any], attempt_id: str, *, generation_id: str) -> None:
        with _working(self, resources, attempt_id=attempt_id, generation_id=generation_id):
            _carry_out(self, model_inputs.rebuild(resources, _attempt(attempt_id), preprocessing=preprocessing))


def register_submits(app: Celery, resources: Resources, *, synchronous: bool) -> list[str]:
    """The submission tasks of lanes of one kind; returns the lanes.

    A synchronous submission holds its thread for minutes, so such lanes have a worker role of their own.
    """
    lanes = [name for name, lane in resources.lanes.items() if lane.synchronous == synchronous]
    for lane in lanes:
        _register_submit(app, resources, lane)
    return lanes


def register_gpu(app: Celery, resources: Resources) -> None:
    """The tasks of the `gpu` role."""
    _register_prepare(app, resources)

    @_task(app, name=names.VALIDATE, bind=True)
    def validate_attempt(self: Task[Any, Any], attempt_id: str, *, generation_id: str) -> None:
        with _working(self, resources, attempt_id=attempt_id, generation_id=generation_id):
            _carry_out(self, validate.validate(resources, _attempt(attempt_id)))


def _register_prepare(app: Celery, resources: Resources) -> None:
    @_task(app, name=names.PREPARE, bind=True)
    def prepare_generation(self: Task[Any, Any], *, generation_id: str) -> None:
        with working_on(generation_id=generation_id):
            _carry_out(self, prepare.prepare(resources, GenerationId(UUID(generation_id))))


def _register_ticks(app: Celery, resources: Resources) -> None:
    # Without events: ticks would push the prompts out of Flower's memory.
    @_task(app, name=names.ADMIT, send_events=False)
    def admit_tick() -> None:
        heartbeat.record_tick(resources)
        prepare.publish_waiting(resources)
        admit.admit_everywhere(resources)
        finishing.admit_waiting(resources)

    @_task(app, name=names.RESCUE, send_events=False)
    def rescue_tick() -> None:
        rescue.take_over(resources)

    @_task(app, name=names.UPLOAD, send_events=False)
    def upload_waiting() -> None:
        upload.upload(resources)

    @_task(app, name=names.AUDIT, send_events=False)
    def audit_books() -> None:
        daily_audit.audit_if_due(resources)

    @_task(app, name=names.TRAIN, send_events=False)
    def train_preferences() -> None:
        preferences.train_all(resources)

    @_task(app, name=names.DOUBTS, send_events=False)
    def settle_doubts(lane: str) -> None:
        by_listing.settle(resources, lane)

    @_task(app, name=names.ACCOUNT, send_events=False)
    def ask_account(lane: str) -> None:
        accounts.refresh_account(resources, lane)

    @_task(app, name=names.POLL, send_events=False)
    def poll_lane(lane: str) -> None:
        poll.sweep(resources, lane)


def _register_submit(app: Celery, resources: Resources, lane: str) -> None:
    tokens = open_token_store(app.conf.broker_url)

    @_task(app, name=names.submit(lane), bind=True)
    def submit_attempt(self: Task[Any, Any], attempt_id: str, *, generation_id: str) -> None:
        taken_at = token_taken_at(self.request)
        # The row is read only for a token that is too old; most submissions start at once.
        wait_s = 0.0
        if not is_fresh(taken_at):
            wait_s = ensure_fresh_token(tokens, lane, limit=rate_limit(resources, lane), taken_at=taken_at)
        if wait_s:
            raise self.retry(countdown=wait_s, max_retries=None)
        with _working(self, resources, attempt_id=attempt_id, generation_id=generation_id):
            _carry_out(self, submit.submit(resources, _attempt(attempt_id)))
