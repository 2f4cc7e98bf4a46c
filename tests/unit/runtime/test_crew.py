"""Who of a crew is missed, with small real processes in place of the workers."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runtime.crew import Crew, crew_of, logs_of
from runtime.embedded.locks import wait_until
from runtime.supervisor import Child, Supervisor


@contextmanager
def crew_without(home: Path, *names: str) -> Iterator[Crew]:
    """A crew whose members of these names ended at once, each with an error in its log."""
    logs_of(home).mkdir(parents=True)
    with crew_of(home) as crew, Supervisor(lambda *_: None, lambda *_: None, gives_up_after=1) as children:
        crew.children = children
        for name in names:
            argv = (sys.executable, "-c", "print('ERROR x: no weights'); print('bye'); raise SystemExit(3)")
            children.start(Child(name=name, argv=argv, env={}, log=logs_of(home) / f"{name}.log"))
        assert wait_until(lambda: len(crew.given_up()) == len(names), timeout_s=30)
        yield crew


@pytest.mark.parametrize("name", ["io", "io-sync", "beat"])
def test_a_worker_that_every_batch_needs_is_missed(tmp_path: Path, name: str) -> None:
    with crew_without(tmp_path / "home", name) as crew:
        assert crew.missed(checks=False) == crew.missed(checks=True) == [name]


def test_without_pictures_to_check_nobody_misses_the_gpu_worker(tmp_path: Path) -> None:
    with crew_without(tmp_path / "home", "gpu") as crew:
        assert crew.given_up() == ("gpu",)
        assert (crew.missed(checks=False), crew.missed(checks=True)) == ([], ["gpu"])


def test_a_batch_ends_well_without_webhooks_and_without_flower(tmp_path: Path) -> None:
    with crew_without(tmp_path / "home", "api", "flower") as crew:
        assert sorted(crew.given_up()) == ["api", "flower"]
        assert crew.missed(checks=True) == []


def test_an_obituary_quotes_the_last_error_and_names_the_log(tmp_path: Path) -> None:
    with crew_without(tmp_path / "home", "gpu") as crew:
        said = crew.failure_reason("gpu")
    assert said.startswith("the gpu worker keeps ending: no weights (its log is ")
    assert said.endswith("gpu.log)")


def test_nobody_is_missed_of_a_crew_that_has_not_started(tmp_path: Path) -> None:
    with crew_of(tmp_path / "home") as crew:
        assert (crew.given_up(), crew.missed(checks=True)) == ((), [])
