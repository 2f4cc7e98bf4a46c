"""What a command says and how it ends: tables for people, one document for `--json`, and the exit code."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from domain.errors import BadInput, LikenessError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

OK = 0
ENDED_OTHERWISE = 1
INTERRUPTED = 130
#: Columns where nobody looks on, so that a pipe gets whole lines.
_WIDE = 200


def _output(*, errors: bool) -> "Console":
    # Half of what a page of help costs, which says nothing through it.
    from rich.console import Console

    class Output(Console):
        """A console that leaves it to `speaking` what becomes of a command whose reader has left."""

        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    output = Output(stderr=errors, soft_wrap=True)
    if not output.is_terminal and "COLUMNS" not in os.environ:
        # A width for one call would not do: rich takes the smaller of that and the console's own, which is 80 here.
        output.width = _WIDE
    return output


class Terminal:
    """Standard output for results, standard error for everything else.

    Args:
        as_json: exactly one document on standard output, and nothing else there.
    """

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json

    @cached_property
    def out(self) -> "Console":
        """For results that people read."""
        return _output(errors=self.as_json)

    @cached_property
    def err(self) -> "Console":
        """For everything else."""
        return _output(errors=True)

    def document(self, content: dict[str, Any]) -> None:
        """Print the one document of `--json`; for people, nothing."""
        if self.as_json:
            sys.stdout.write(json.dumps(content, ensure_ascii=False, default=str) + "\n")
            sys.stdout.flush()

    def show(self, *content: "RenderableType") -> None:
        """Lay tables and text out for people, within the width of their terminal; under `--json`, nothing.

        A plain string is a line that is not broken, so that a path or a command in it can be copied.
        """
        if self.as_json:
            return
        for one in content:
            if isinstance(one, str):
                self.out.print(one, style="dim", markup=False, highlight=False)
            else:
                self.out.print(one, soft_wrap=False)

    @contextmanager
    def beside(self, moving: "Console") -> Iterator[None]:
        """While something moves on that console, lines for people go through it, so that they land above what moves.

        Where standard error is no terminal nothing there is in its way, and nothing changes.
        """
        usual = self.err
        if usual.is_terminal:
            self.err = moving
        try:
            yield
        finally:
            self.err = usual

    def note(self, text: str) -> None:
        """A line for people, beside the result."""
        self.err.print(text, markup=False, highlight=False)

    def fail(self, failure: LikenessError) -> NoReturn:
        """Say what is wrong in one sentence and end with its exit code."""
        if self.as_json:
            self.document({"error": {"code": failure.code, "message": str(failure)}})
        else:
            self.err.print("[bold red]error:[/] ", end="")
            self.err.print(str(failure), markup=False, highlight=False)
        raise typer.Exit(failure.exit_code)

    def interrupted(self) -> NoReturn:
        """Say that a person stopped the command, and end so."""
        said = "interrupted; run the same command again to go on"
        self.document({"error": {"code": "interrupted", "message": said}})
        self.note(said)
        raise typer.Exit(INTERRUPTED)


@contextmanager
def speaking(*, as_json: bool = False) -> Iterator[Terminal]:
    """A terminal inside which known failures become one sentence and an exit code."""
    terminal = Terminal(as_json=as_json)
    try:
        yield terminal
    except LikenessError as failure:
        terminal.fail(failure)
    except KeyboardInterrupt:
        terminal.interrupted()
    except BrokenPipeError:
        # The reader has left (`likeness list | head`); Python must not complain about it at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(OK) from None
    except OSError as failure:
        if failure.filename is None:
            raise
        # A folder that is none, a file that may not be written: whoever named the path can help it.
        terminal.fail(BadInput(f"{str(failure.filename)!r} cannot be used: {failure.strerror}"))
