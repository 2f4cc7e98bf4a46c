"""Workers are told to stop under load: nothing new is begun, what runs comes to its end, and no attempt suffers."""

import os
import signal
import subprocess
import urllib.request
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from pipeline.characters import definitions
from pipeline.characters.definitions import NewCharacter
from pipeline.resources import Resources
from runtime.crew import role
from runtime.resources import open_producer
from runtime.settings import Settings
from runtime.signs_of_life import ages_s
from runtime.supervisor import ChildEvent, ChildReport, Supervisor
from tests.crash.conftest import crew_of, family
from tests.crash.invariants import breaches, waiting
from tests.crash.wires import OPENAI, REPLICATE, TTAPI, arm, free_port, ordered
from tests.support.commands import ROOT, bill, wait_for

_OTHERS = {"io": ("io-sync", "gpu", "beat"), "io-sync": ("io", "gpu", "beat"), "gpu": ("io", "io-sync", "beat")}
#: The one that loads a model last, so that it has loaded it by then.
_EVERY_ROLE = ("io", "io-sync", "api", "beat", "gpu")
#: What the role claims, and in which state.
_BUSY = {
    "io": "state IN ('submitting', 'collecting') AND provider <> 'openai'",
    "io-sync": "state = 'submitting' AND provider = 'openai'",
    "gpu": "state = 'validating'",
}


def _rows(resources: Resources, statement: str, **values: Any) -> list[Any]:
    with resources.database.transaction() as connection:
        return list(connection.execute(text(statement), values))


def _now(resources: Resources) -> datetime:
    moment: datetime = _rows(resources, "SELECT clock_timestamp() AS now")[0].now
    return moment


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("name", "how"),
    [("io", signal.SIGTERM), ("io-sync", signal.SIGTERM), ("gpu", signal.SIGTERM), ("io", signal.SIGQUIT)],
    ids=["io", "io-sync", "gpu", "io-softly"],
)
def test_a_worker_that_is_told_to_stop_leaves_nothing_behind(
    settings: Settings, tmp_path: Path, name: str, how: signal.Signals
) -> None:
    url = str(settings.sandbox_base_url)
    # Few threads and no limit of speed, so that more is handed to the worker than it can be at.
    fast = dict.fromkeys(("sandbox_rate_limit", "replicate_rate_limit", "openai_rate_limit"), "500/s")
    settings = settings.model_copy(update={"io_threads": 4, "gpu_threads": 4, "openai_concurrency": 4, **fast})
    # A slow machine is no lost reply.
    settings = settings.model_copy(update={"openai_total_s": 60.0})
    # So slow that every thread of the worker is at something when it is told to stop.
    arm(url, *({"where": where, "what": "delay:1.5", "rate": 1.0} for where in ("submit", "picture")))
    with open_producer(settings, application="likeness crash test") as resources:
        _character(resources)
        for wire in (TTAPI, REPLICATE, OPENAI):
            hills = [f"a pig on {wire.provider} hill {i}" for i in range(8)]
            ordered(resources, wire, tmp_path / f"{wire.provider}.csv", hills, character="lulu")
        child = role(name, settings)
        with crew_of(settings, roles=_OTHERS[name]):
            worker = subprocess.Popen(child.argv, env=child.env)
            mine = f"leased_by LIKE '%:{worker.pid}:%'"
            busy = f"SELECT id FROM attempts WHERE {_BUSY[name]} AND {mine}"
            enough = 1 if name == "gpu" else 4
            wait_for(lambda: len(_rows(resources, busy)) >= enough, what=f"{name} at work", timeout_s=120)
            worker.send_signal(how)
            told = _now(resources)
            worker.wait(timeout=child.grace_s)
            assert worker.returncode >= 0, "it ended by itself, within its grace"
            assert _rows(resources, f"SELECT id FROM attempts WHERE {mine}") == [], "it holds nothing any more"
            if how is signal.SIGTERM:
                # A second for what was being claimed at that very moment. Celery's soft shutdown may take more.
                assert _begun(resources, name, after=told + timedelta(seconds=1)) == [], "nothing new was begun"
            assert _suffering(resources) == []
            with crew_of(settings, roles=(name,)):
                wait_for(lambda: waiting(resources.database) == 0, what="every generation to end", timeout_s=300)
        assert _suffering(resources) == []
        assert breaches(resources, bill(url)) == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_role_is_replaced_under_load_and_nothing_is_lost_by_it(settings: Settings, tmp_path: Path) -> None:
    """What an upgrade does: each process is told to stop, and another takes its place before the next one is told."""
    url = str(settings.sandbox_base_url)
    settings = settings.model_copy(update={"openai_total_s": 60.0, "api_port": free_port()})
    reports: list[ChildReport] = []
    with open_producer(settings, application="likeness crash test") as resources, family(reports) as crew:
        _character(resources)
        for name in _EVERY_ROLE:
            crew.start(role(name, settings))
        for name in _EVERY_ROLE:
            at_work = partial(_is_at_work, crew, settings, name)
            wait_for(at_work, what=f"{name} at work", timeout_s=240)
            for wire in (TTAPI, REPLICATE, OPENAI):
                hills = [f"a pig on {wire.provider} hill {i} beside {name}" for i in range(2)]
                ordered(resources, wire, tmp_path / f"{wire.provider}-{name}.csv", hills, character="lulu")
            before = crew.pids()[name]
            os.kill(before, signal.SIGTERM)
            wait_for(partial(at_work, before), what=f"another {name}", timeout_s=180)
        wait_for(lambda: waiting(resources.database) == 0, what="every generation to end", timeout_s=300)
        assert _suffering(resources) == []
        assert breaches(resources, bill(url)) == []
        assert len(bill(url)["jobs"]) == 6 * len(_EVERY_ROLE), "nothing was ordered twice"
    ended = {one.name: one.status for one in reports if one.happening is ChildEvent.ENDED}
    assert ended == dict.fromkeys(_EVERY_ROLE, 0), "each came to its end by itself"


def _is_at_work(crew: Supervisor, settings: Settings, name: str, before: int | None = None) -> bool:
    """Whether the role's process, not `before`, takes work: what a probe of a deployment asks."""
    pid = crew.pids().get(name)
    if pid in {None, before}:
        return False
    if name != "api":
        return pid in dict(ages_s(settings.home, name))
    with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{settings.api_port}/health", timeout=5) as reply:
        return bool(reply.status == HTTPStatus.OK)
    return False


def _begun(resources: Resources, name: str, *, after: datetime) -> list[Any]:
    """Submissions of the role's lanes whose intent was written after that moment."""
    lanes = {"io": ["sandbox", "replicate"], "io-sync": ["openai"], "gpu": []}[name]
    begun = "SELECT id FROM attempts WHERE intent_at > :after AND provider = ANY(:lanes)"
    return _rows(resources, begun, after=after, lanes=lanes)


def _suffering(resources: Resources) -> list[Any]:
    """Attempts that a stop has cost something: a death, a doubt, or a failure."""
    return _rows(resources, "SELECT * FROM attempts WHERE deaths > 0 OR doubted_at IS NOT NULL OR outcome = 'failed'")


def _character(resources: Resources) -> None:
    reference = ROOT / "examples" / "lulu-pig" / "references" / "lulu_pig_ref_1.png"
    definitions.add(
        resources,
        NewCharacter(
            name="lulu", description="", references=[reference], core=0.5, style=-1.0, origin="chosen for this test"
        ),
    )
