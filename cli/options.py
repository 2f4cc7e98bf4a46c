"""Options and arguments that several commands share."""

from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
Batch = Annotated[str, typer.Argument(metavar="BATCH", help="Its name, or the start of its id.", show_default=False)]
LatestBatch = Annotated[
    str | None, typer.Argument(metavar="BATCH", help="Name or id; the latest by default.", show_default=False)
]
