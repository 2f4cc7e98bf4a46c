"""Commands that are imported when they are run, so that a page of help does not load a database driver.

What a command is called and what its line in the help says stands in the table of `cli.main`.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_group

if TYPE_CHECKING:
    from typer._click import Command, Context, HelpFormatter


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the help.

    Args:
        target: `module:name` of a function, or of a `typer.Typer` with commands of its own.
        panel: heading under which the help shows it; None shows it nowhere.
    """

    name: str
    target: str
    says: str
    panel: str | None


@contextmanager
def _uncollected() -> Iterator[None]:
    # Imports make a great many objects and leave no garbage behind: the collector, which looks through them again and
    # again, would look in vain.
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


class LazyCommand(TyperCommand):
    """Stands for a command in the help, and becomes it when it is called."""

    def __init__(self, entry: Entry) -> None:
        super().__init__(
            entry.name,
            short_help=entry.says,
            help=entry.says,
            hidden=entry.panel is None,
            rich_help_panel=entry.panel,
        )
        self._entry = entry

    def load(self) -> "Command":
        """The command itself."""
        module, _, name = self._entry.target.partition(":")
        with _uncollected():
            found = getattr(import_module(module), name)
        # Boxes around every option would leave too little of 80 columns for what the option does.
        if isinstance(found, typer.Typer):
            found.rich_markup_mode = None
            return get_group(found)
        app = typer.Typer(add_completion=False, rich_markup_mode=None)
        app.command(self._entry.name)(found)
        return get_command(app)

    def make_context(
        self, info_name: str | None, args: list[str], parent: "Context | None" = None, **extra: Any
    ) -> "Context":
        return self.load().make_context(info_name, args, parent, **extra)


class PanelledGroup(TyperGroup):
    """Shows its commands under the headings of their entries."""

    def format_commands(self, ctx: "Context", formatter: "HelpFormatter") -> None:
        panels: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if isinstance(command, LazyCommand) and command.rich_help_panel is not None:
                panels.setdefault(command.rich_help_panel, []).append((name, command.short_help or ""))
        widest = max(len(name) for rows in panels.values() for name, _ in rows)
        for panel, rows in panels.items():
            with formatter.section(panel):
                formatter.write_dl([(name.ljust(widest), says) for name, says in rows])


def group_of(app: typer.Typer, entries: tuple[Entry, ...]) -> TyperGroup:
    """`app` with a lazy command for each entry, in their order."""
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    for entry in entries:
        group.add_command(LazyCommand(entry))
    return group
