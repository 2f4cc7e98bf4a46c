"""Output and exit code of commands: tables for people, one JSON document with `--json`."""

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
#: Width when the output is not a terminal, so that pipes get whole lines.
_WIDE = 200


def _output(*, errors: bool) -> "Console":
    # Half of what a page of help costs, which says nothing through it.
    from rich.console import Console

    class Output(Console):
        """A console that lets `open_terminal` handle a closed pipe."""

        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    output = Output(stderr=errors, soft_wrap=True)
    if not output.is_terminal and "COLUMNS" not in os.environ:
        # Set on the console, because rich takes the smaller of a call's width and the console's, which is 80 here.
        output.width = _WIDE
    return output


class Terminal:
    """Standard output for results, standard error for everything else.

    Args:
        as_json: print exactly one document to standard output, and nothing else there.
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
        """Print the document of `--json`; without it, nothing."""
        if self.as_json:
            sys.stdout.write(json.dumps(content, ensure_ascii=False, default=str) + "\n")
            sys.stdout.flush()

    def show(self, *content: "RenderableType") -> None:
        """Print tables and text within the width of the terminal; with `--json`, nothing.

        A plain string is not wrapped, so that a path or a command in it can be copied.
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
        """Print notes through `moving` while it shows something live, so that they appear above it.

        Changes nothing where standard error is not a terminal.
        """
        usual = self.err
        if usual.is_terminal:
            self.err = moving
        try:
            yield
        finally:
            self.err = usual

    def note(self, text: str) -> None:
        """Print a line to standard error, beside the result."""
        self.err.print(text, markup=False, highlight=False)

    def fail(self, failure: LikenessError) -> NoReturn:
        """Print the failure as one sentence and exit with its code."""
        if self.as_json:
            self.document({"error": {"code": failure.code, "message": str(failure)}})
        else:
            self.err.print("[bold red]error:[/] ", end="")
            self.err.print(str(failure), markup=False, highlight=False)
        raise typer.Exit(failure.exit_code)

    def interrupted(self) -> NoReturn:
        """Report that the user interrupted the command, and exit."""
        message = "interrupted; run the same command again to go on"
        self.document({"error": {"code": "interrupted", "message": message}})
        self.note(message)
        raise typer.Exit(INTERRUPTED)


@contextmanager
def open_terminal(*, as_json: bool = False) -> Iterator[Terminal]:
    """A terminal for one command; known failures in the block become one sentence and an exit code."""
    terminal = Terminal(as_json=as_json)
    try:
        yield terminal
    except LikenessError as failure:
        terminal.fail(failure)
    except KeyboardInterrupt:
        terminal.interrupted()
    except BrokenPipeError:
        # The reader is gone (`likeness list | head`); keep Python from reporting that at exit too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(OK) from None
    except OSError as failure:
        if failure.filename is None:
            raise
        # For example a file that cannot be written: the user named the path and can correct it.
        terminal.fail(BadInput(f"{str(failure.filename)!r} cannot be used: {failure.strerror}"))
