"""Call the command line inside this process, through the same `run` that the program starts with."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cli.main import run
from tests.support.books import USER


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a call ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return (self.out + self.err).splitlines()


@dataclass(frozen=True, slots=True)
class CommandLine:
    """`likeness`, against servers named by the environment, in a folder of the test's own."""

    capture: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str | Path) -> Ended:
        self.capture.readouterr()
        code = run([str(one) for one in arguments])
        said = self.capture.readouterr()
        return Ended(code=code, out=said.out, err=said.err)

    def document(self, *arguments: str | Path, code: int = 0) -> dict[str, Any]:
        """The one document of a call with `--json`, which must end with `code`."""
        ended = self(*arguments, "--json")
        assert ended.code == code, ended
        assert ended.out.count("\n") == 1, "exactly one document, on one line"
        content: dict[str, Any] = json.loads(ended.out)
        return content

    def refused(self, *arguments: str | Path, code: int = 2) -> str:
        """The one sentence of a call that is refused: the same for people and in the document of `--json`."""
        ended = self(*arguments)
        assert (ended.code, ended.out) == (code, ""), ended
        assert ended.err.startswith("error: "), ended
        assert ended.err.count("\n") == 1, f"one sentence on one line: {ended.err}"
        sentence = ended.err.removeprefix("error: ").strip()
        error = self.document(*arguments, code=code)["error"]
        assert error["message"] == sentence
        assert error["code"]
        return sentence


def stand(environment: pytest.MonkeyPatch, folder: Path, settings: Mapping[str, str]) -> None:
    """Run commands in `folder`, with these settings and no others, on a screen of 80 columns without colours."""
    environment.chdir(folder)
    for name, value in {
        "LIKENESS_HOME": str(folder / "home"),
        "LIKENESS_USER": USER,
        "COLUMNS": "80",
        "NO_COLOR": "1",
        **settings,
    }.items():
        environment.setenv(name, value)
