"""What people read of a command: on a screen, and where nobody looks on."""

import pytest

from cli.tables import table_of
from cli.terminal import Terminal


def _shown(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """A table of one row with a prompt of 120 letters, as lines."""
    table = table_of("row", "prompt", giving=("prompt",))
    table.add_row("1", "p" * 120)
    Terminal().show(table)
    return capsys.readouterr().out.splitlines()


def test_a_table_in_a_pipe_is_not_cut_to_the_width_of_no_screen(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert any("p" * 120 in line for line in _shown(capsys))


def test_a_table_keeps_to_a_width_that_somebody_asked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    assert max(map(len, _shown(capsys))) <= 60
