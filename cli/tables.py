"""Tables for commands that list something: aligned, without lines, complete at 80 columns."""

from collections.abc import Collection, Mapping

from rich.table import Table
from rich.text import Text


def table_of(
    *columns: str,
    numbers: Collection[str] = (),
    giving: Collection[str] = (),
    least: Mapping[str, int] | None = None,
) -> Table:
    """A table with a header.

    Args:
        numbers: right-aligned columns.
        giving: columns that shrink in a narrow terminal; the others keep their width. Their cells are wrapped, or cut
            if they are `one_line`.
        least: characters that a column keeps even where the terminal is too narrow for all the others, such as an id
            that is to be copied.
    """
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for name in columns:
        table.add_column(
            name,
            justify="right" if name in numbers else "left",
            no_wrap=name not in giving,
            min_width=(least or {}).get(name),
        )
    return table


def facts_of() -> Table:
    """A table of names and values: `add_row(name, value)`."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    return table


def one_line(text: str, style: str = "") -> Text:
    """`text` on one line, with white space folded, cut to the available width."""
    return Text(" ".join(text.split()), style=style, no_wrap=True, overflow="ellipsis")
