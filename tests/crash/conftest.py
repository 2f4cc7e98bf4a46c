"""A whole system of a test's own: servers, the stand-in's three wires, workers that are started again when they die."""

import dataclasses
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from runtime.crew import role
from runtime.settings import Settings
from runtime.supervisor import ChildReport, Supervisor
from sandbox.process import running
from tests.crash.wires import settings_for


@pytest.fixture
def stand_in() -> dict[str, int]:
    """Further options of the stand-in; a module that needs any has a fixture of this name."""
    return {}


@pytest.fixture
def settings(
    home: Path, database_url: str, redis_url: str, tmp_path: Path, stand_in: dict[str, int]
) -> Iterator[Settings]:
    with running(tmp_path / "sandbox", latency_s=0.2, size_px=96, illegal_limit=100_000, **stand_in) as url:
        yield settings_for(
            url,
            home=home,
            database_url=SecretStr(database_url),
            redis_url=SecretStr(redis_url),
            unclaimed_s=3.0,
        )


def family(reports: list[ChildReport] | None = None) -> Supervisor:
    """Nobody's children yet; what happens to them is added to `reports`."""

    def on_report(report: ChildReport) -> None:
        if reports is not None:
            reports.append(report)
        print(f"{report.name}: {report.happening}, status {report.status}", file=sys.stderr)

    return Supervisor(
        lambda name, line: print(f"{name} | {line}", file=sys.stderr),
        on_report,
        first_pause_s=0.1,
        longest_pause_s=0.5,
        gives_up_after=200,
        # All at once: each takes seconds to end.
        stop_order=[["beat", "gpu", "io", "io-sync"]],
    )


@contextmanager
def crew_of(
    settings: Settings, *, roles: tuple[str, ...] = ("io", "io-sync", "gpu", "beat"), **more: str
) -> Iterator[Supervisor]:
    """Workers of these roles, with `more` in their environment, until the block ends."""
    with family() as crew:
        for name in roles:
            child = role(name, settings)
            crew.start(dataclasses.replace(child, env={**child.env, **more}))
        yield crew
