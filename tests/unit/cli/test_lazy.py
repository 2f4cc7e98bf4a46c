"""A command is imported when it is called, and nobody looks for garbage meanwhile."""

import gc
import sys
from pathlib import Path

import pytest

from cli.lazy import Entry, LazyCommand


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LazyCommand:
    """A command that notes, as it is imported, whether the collector may run."""
    (tmp_path / "noting_command.py").write_text(
        "import gc\n\nCOLLECTING = gc.isenabled()\n\n\ndef note() -> None:\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "noting_command", raising=False)
    return LazyCommand(Entry(name="note", target="noting_command:note", says="Notes it", panel=None))


def test_an_import_is_not_interrupted_by_the_collector(command: LazyCommand) -> None:
    assert gc.isenabled()
    command.load()
    assert sys.modules["noting_command"].COLLECTING is False
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off(command: LazyCommand) -> None:
    gc.disable()
    try:
        command.load()
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_the_collector_runs_again_after_a_failed_import(command: LazyCommand, tmp_path: Path) -> None:
    (tmp_path / "noting_command.py").write_text("raise ImportError\n")
    with pytest.raises(ImportError):
        command.load()
    assert gc.isenabled()
