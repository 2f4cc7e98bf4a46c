"""The stand-in that `demo` and `up --sandbox` start, beside one that a person has started."""

from inspect import signature
from pathlib import Path

import pytest
from pydantic import SecretStr

from cli.operations.serve import sandbox_command
from cli.sandbox_child import sandbox_child
from runtime.settings import Settings


def test_a_demo_keeps_out_of_the_folder_of_a_sandbox_that_was_started_by_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = Settings().model_copy(
        update={
            "home": Path(".likeness"),
            "database_url": SecretStr("postgresql://x/y"),
            "redis_url": SecretStr("redis://x"),
        }
    )
    child = sandbox_child(settings, latency_s=0.1, size_px=64)
    (folder,) = [one.removeprefix("--data=") for one in child.argv if one.startswith("--data=")]
    by_hand: Path = signature(sandbox_command).parameters["data"].default
    assert Path(folder).parent == by_hand.resolve().parent, "the same home"
    assert Path(folder) != by_hand.resolve()
