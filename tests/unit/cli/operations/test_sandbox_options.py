"""What `likeness sandbox` refuses before it starts, in one sentence."""

from pathlib import Path

import pytest

from cli.main import run
from sandbox.__main__ import main as sandbox_main


@pytest.mark.parametrize(
    ("option", "named"),
    [
        ("--port=99999", "--port"),
        ("--port=-1", "--port"),
        ("--price=abc", "--price"),
        ("--price=nan", "--price"),
        ("--price=-1", "--price"),
    ],
)
def test_an_option_that_cannot_be_used_is_one_sentence(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, option: str, named: str
) -> None:
    assert run(["sandbox", f"--data={tmp_path}", option]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert named in said.err
    assert said.err.count("\n") == 1
    with pytest.raises(SystemExit, match="2"):
        sandbox_main([f"--data={tmp_path}", option])
    assert f"argument {named}" in capsys.readouterr().err
