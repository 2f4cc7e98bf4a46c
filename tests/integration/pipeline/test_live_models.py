"""What the services say about their models today is asked before anything is enqueued."""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from cli.operations import doctor_services
from db.schema import generations
from domain.errors import BadInput, ModelRetired
from pipeline.intake import live_models
from pipeline.intake.commit import commit
from providers.contract import Ask
from providers.lane import HttpLane
from providers.registry import open_lane
from tests.support.replicate_runner import ReplicateRunner
from tests.support.scripted_server import Connection, ScriptedServer, serving

TODAY = date(2026, 11, 21)
SUNBURST = "gpt-image-2.5-sunburst"


@contextmanager
def saying(document: dict[str, Any], provider: str) -> Iterator[tuple[ScriptedServer, HttpLane]]:
    """A service that answers everything with `document`, and a lane to it."""

    def script(connection: Connection) -> None:
        while connection.read_request():
            connection.answer(body=json.dumps(document).encode(), headers="content-type: application/json\r\n")

    with (
        serving(script) as server,
        closing(open_lane(provider, provider, base_url=server.url, key="key")) as lane,
    ):
        yield server, lane


def _schema(*inputs: str) -> dict[str, Any]:
    properties = {name: {"type": "string"} for name in inputs}
    return {
        "latest_version": {"openapi_schema": {"components": {"schemas": {"Input": {"properties": properties}}}}},
    }


def _ask(model: str = SUNBURST) -> Ask:
    return Ask(attempt_id="none", token="none", model=model, prompt="a pig")


@pytest.fixture
def runner(replicate_runner: ReplicateRunner) -> ReplicateRunner:
    return replicate_runner


def test_a_key_that_the_model_would_ignore_is_refused_and_nothing_is_enqueued(runner: ReplicateRunner) -> None:
    plan = runner.planned("a pig", aspect_ratio="16:9", resolution="1K")
    with saying(_schema("prompt", "resolution", "output_format"), "replicate") as (server, lane):
        with pytest.raises(BadInput) as refused:
            commit(replace(runner.resources, lanes={"replicate": lane}), plan)
        assert b"GET /v1/models/google/nano-banana-pro " in server.requests[0]
    assert "no input 'allow_fallback_model', 'aspect_ratio' today" in str(refused.value)
    assert "it has output_format, prompt, resolution" in str(refused.value)
    assert runner.books.rows(generations) == []


def test_a_service_that_cannot_be_reached_is_a_warning(runner: ReplicateRunner) -> None:
    plan = runner.planned("a pig", "another pig")
    with closing(open_lane("replicate", "replicate", base_url="http://127.0.0.1:9", key="key")) as lane:
        written = commit(replace(runner.resources, lanes={"replicate": lane}), plan)
    (warning,) = written.warnings
    assert "could not be asked about 'google/nano-banana-pro'" in warning
    assert len(runner.books.rows(generations)) == 2


def test_the_real_schema_is_asked_for_once_for_many_rows_and_batches(runner: ReplicateRunner) -> None:
    inputs = ("prompt", "resolution", "output_format", "aspect_ratio", "safety_filter_level", "allow_fallback_model")
    with saying(_schema(*inputs), "replicate") as (server, lane):
        resources = replace(runner.resources, lanes={"replicate": lane})
        for _ in range(3):
            plan = runner.planned("a pig", "a cow", "a hen")
            assert live_models.check(resources, plan.drafts, on=TODAY) == []
        assert len(server.requests) == 1
    assert commit(runner.resources, plan).warnings == [], "the stand-in's schema knows what is sent"


def test_openai_says_until_when_it_has_a_model() -> None:
    ends = {"id": SUNBURST, "object": "model", "shutdown_date": "2026-12-01"}
    with saying(ends, "openai") as (server, lane):
        (warning,) = lane.check_live(_ask(), on=TODAY)
        assert "will be shut down on 2026-12-01, in 10 days" in warning
        assert lane.check_live(_ask(), on=TODAY - timedelta(days=60)) == []
        with pytest.raises(ModelRetired, match="was shut down on 2026-12-01; use "):
            lane.check_live(_ask(), on=date(2026, 12, 1))
        assert len(server.requests) == 1
    with saying(ends | {"shutdown_date": None}, "openai") as (_, lane):
        assert lane.check_live(_ask(), on=TODAY) == []


def test_the_doctor_and_a_starting_worker_hear_of_every_model_in_use(runner: ReplicateRunner, sandbox_url: str) -> None:
    commit(runner.resources, runner.planned("a pig", model="black-forest-labs/flux-2-pro"))
    today = datetime.now(UTC).date()
    with saying({"id": SUNBURST, "shutdown_date": str(today)}, "openai") as (_, openai):
        lanes = {**runner.resources.lanes, "openai": openai}
        found = {one.model: one for one in live_models.look(replace(runner.resources, lanes=lanes), on=today)}
    assert set(found) == {"black-forest-labs/flux-2-pro", "google/nano-banana-pro", SUNBURST}
    assert {name for name, one in found.items() if one.refused} == {SUNBURST}
    with closing(open_lane("replicate", "replicate", base_url="http://127.0.0.1:9", key="key")) as lane:
        (silent, _) = live_models.look(replace(runner.resources, lanes={"replicate": lane}), on=today)
    assert (silent.silent, silent.refused) == (True, False)


def test_the_doctor_says_that_a_service_was_not_asked(runner: ReplicateRunner) -> None:
    with closing(open_lane("ttapi", "ttapi", base_url="http://127.0.0.1:9", key="key")) as lane:
        (check,) = doctor_services.models(replace(runner.resources, lanes={"ttapi": lane}))
    assert (check.name, check.found) == ("model midjourney", "not asked: ttapi says nothing about its models")
