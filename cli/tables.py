"""Tables without lines, for every command that lists something: plain, aligned, and whole at 80 columns."""

from collections.abc import Collection

from rich.table import Table
from rich.text import Text


def table_of(*columns: str, numbers: Collection[str] = (), giving: Collection[str] = ()) -> Table:
    """A table with a header.

    Args:
        numbers: columns that are set to the right.
        giving: columns that give way where the terminal is too narrow; the others stay whole. Their cells are
            wrapped, or cut if they are `one_line`.
    """
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for name in columns:
        table.add_column(name, justify="right" if name in numbers else "left", no_wrap=name not in giving)
    return table


def facts_of() -> Table:
    """A table of names and values: `add_row(name, value)`."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    return table


def one_line(text: str, style: str = "") -> Text:
    """`text` with its white space folded, cut where there is no room for more."""
    return Text(" ".join(text.split()), style=style, no_wrap=True, overflow="ellipsis")
