"""Traces: one per generation from the producer to the verdict, by OTLP to a receiver; off, nothing is even imported."""

import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from celery import signals
from celery.contrib.testing.worker import start_worker
from celery.exceptions import DuplicateTaskNameWarning

from db.schema import attempts, generations
from db.session import Database
from domain.errors import PictureLost
from domain.states import AttemptState
from runtime.tracing import exporting
from tasks import names
from tasks.bodies import register_gpu, register_io
from tasks.dispatch import CeleryDispatch
from tests.conftest import Sent
from tests.support.commands import ROOT, wait_for
from tests.support.steps import PREPROCESSING, StepRunner, runner_of
from tests.support.trace_receiver import Receiver, receiving, said

STEPS = ["enqueue", "admit", "submit", "poll", "collect", "validate"]
ERROR = 2
PLANTED = "a prompt that nobody may read in a trace"


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """A worker sets the level of the root logger, unless somebody says that logging is cared for."""

    def cared_for(**_: Any) -> None:
        pass

    signals.setup_logging.connect(cared_for)
    yield
    signals.setup_logging.disconnect(cared_for)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as opened:
        yield opened


def run_to_the_end(runner: StepRunner) -> None:
    """One batch of two prompts through real messages and a real worker of both roles, in this process."""
    assert isinstance(runner.resources.dispatch, CeleryDispatch)
    app = runner.resources.dispatch.app
    register_io(app, runner.resources, preprocessing=PREPROCESSING)
    with warnings.catch_warnings():
        # Both roles prepare generations, and neither usually has the other in its process.
        warnings.simplefilter("ignore", DuplicateTaskNameWarning)
        register_gpu(app, runner.resources)
        app.finalize()
    queues = [*names.io_queues(["sandbox"]), names.QUEUE_GPU]
    with start_worker(app, pool="threads", concurrency=4, perform_ping_check=False, queues=queues, loglevel="ERROR"):
        runner.character()
        runner.enqueue(f"{PLANTED} 1", f"{PLANTED} 2", character="lulu")

        def judged() -> bool:
            runner.books.sql("UPDATE attempts SET due_at = now() WHERE state = 'generating'")
            runner.sweep()
            return {row.state for row in runner.books.rows(attempts)} == {AttemptState.FINISHED}

        wait_for(judged, what="two verdicts", timeout_s=60)


def test_a_generation_is_one_trace_from_the_producer_to_the_verdict(
    database: Database, sandbox_url: str, redis_url: str, home: Path, receiver: Receiver
) -> None:
    with (
        exporting(receiver.url, process="likeness test") as traces,
        closing(CeleryDispatch(redis_url, traces=traces)) as dispatch,
        runner_of(database, url=sandbox_url, sent=Sent(), home=home, dispatch=dispatch, traces=traces) as runner,
    ):
        run_to_the_end(runner)
        rows = runner.books.rows(attempts)
        key = runner.caller.key
    assert receiver.paths == {"/v1/traces"}
    assert receiver.services == {"likeness-test"}
    assert len(rows) == 2
    for row in rows:
        spans = receiver.trace(row.generation_id)
        by_name = {span.name: span for span in spans}
        assert list(by_name) == STEPS
        for span in spans:
            assert said(span) == {
                "generation_id": str(row.generation_id),
                "attempt_id": str(row.id),
                "lane": "sandbox",
                "provider": "sandbox",
                "model": row.model,
            }
        # Each continues from the step that sent its message; a sweep is sent by nobody, so it hangs at the beginning.
        first = by_name["enqueue"].span_id
        assert first == row.generation_id.bytes[8:]
        assert by_name["enqueue"].parent_span_id == b""
        assert by_name["admit"].parent_span_id == by_name["poll"].parent_span_id == first
        assert by_name["submit"].parent_span_id == by_name["admit"].span_id
        assert by_name["collect"].parent_span_id == by_name["poll"].span_id
        assert by_name["validate"].parent_span_id == by_name["collect"].span_id
    (batch,) = [span for span in receiver.spans if span.name == "enqueue batch"]
    assert said(batch) == {"batch_id": str(rows[0].batch_id), "rows": 2}
    everything = b"".join(receiver.bodies)
    for secret in (PLANTED, key, rows[0].token, sandbox_url):
        assert secret.encode() not in everything


def test_a_failure_is_told_by_its_class_alone(
    database: Database, sandbox_url: str, sent: Sent, home: Path, receiver: Receiver
) -> None:
    with (
        exporting(receiver.url, process="likeness test") as traces,
        runner_of(database, url=sandbox_url, sent=sent, home=home, traces=traces) as runner,
    ):
        attempt_id = runner.collecting()
        runner.books.sql(
            "UPDATE attempts SET result = jsonb_build_object('lost', 'https://signed.example/?sig=SECRET')"
        )
        runner.collect(attempt_id)
        (row,) = runner.books.rows(generations)
    assert row.state == "failed"
    (span,) = [span for span in receiver.trace(row.id) if span.name == "collect"]
    assert (span.status.code, span.status.message) == (ERROR, "")
    assert said(span)["error.type"] == PictureLost.__name__
    assert not span.events
    assert b"SECRET" not in b"".join(receiver.bodies)


def test_a_step_without_a_message_of_its_own_trace_hangs_at_its_generations_beginning(receiver: Receiver) -> None:
    one, other = (Work(UUID(int=(7 << 76) | (number << 62))) for number in (2, 3))
    with exporting(receiver.url, process="likeness test") as traces:
        with traces.step("submit", one):
            header = traces.traceparent()
        with traces.continuing(header), traces.step("collect", other):
            pass
        with traces.continuing("no header at all"), traces.step("collect", one):
            pass
        assert traces.traceparent() is None
    assert header is not None
    assert header.split("-")[1] == one.generation_id.hex
    assert [span.parent_span_id for span in receiver.trace(other.generation_id)] == [other.generation_id.bytes[8:]]
    assert {span.parent_span_id for span in receiver.trace(one.generation_id)} == {one.generation_id.bytes[8:]}


class Work:
    """What a span is about."""

    lane = provider = model = "sandbox"

    def __init__(self, number: UUID) -> None:
        self.generation_id: Any = number
        self.attempt_id: Any = number


def test_a_collector_that_is_away_is_named_once_and_fails_no_step(caplog: pytest.LogCaptureFixture) -> None:
    with exporting("http://127.0.0.1:1", process="likeness test") as traces:
        for number in range(1500):
            with traces.step("submit", Work(UUID(int=number + 1))):
                pass
    (line,) = [one for one in caplog.records if one.name == "runtime.tracing"]
    assert "http://127.0.0.1:1 takes no traces" in line.getMessage()


_LOOK = """
import sys

class NotInstalled:
    def find_spec(self, name, *_):
        if name.partition(".")[0] == "opentelemetry":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

if sys.argv[1:]:
    sys.meta_path.insert(0, NotInstalled())
from runtime.resources import open_resources
from runtime.settings import read_settings
from tasks.bodies import register_gpu, register_io
import worker.beat, worker.main, worker.sync, cli.main
from validation.preprocessing import CLIP_DEFAULT
with open_resources(read_settings(), application="likeness io") as (resources, app):
    register_io(app, resources, preprocessing=CLIP_DEFAULT)
    print(type(resources.traces).__name__, any(name.partition(".")[0] == "opentelemetry" for name in sys.modules))
"""


@pytest.mark.parametrize(
    ("address", "more", "said"),
    [
        # Where it is installed, redis-py imports of it what it likes; so it is off where it is not.
        ("", ["not installed"], "Untraced False"),
        ("http://127.0.0.1:9", [], "_OpenTelemetry True"),
        ("http://127.0.0.1:9", ["not installed"], "uv sync --group traces"),
    ],
)
def test_one_variable_turns_it_on_and_off_it_need_not_even_be_installed(
    address: str, more: list[str], said: str, database_url: str, redis_url: str, home: Path
) -> None:
    given = {"LIKENESS_TRACES": address, "DATABASE_URL": database_url, "REDIS_URL": redis_url, "LIKENESS_HOME": home}
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), **{name: str(one) for name, one in given.items()}}
    done = subprocess.run(
        [sys.executable, "-c", _LOOK, *more],
        env=environment,
        cwd=home,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert said in (done.stdout or done.stderr), done.stderr
