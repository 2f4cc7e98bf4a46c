"""`audit`: whether the books add up."""

import typer

from cli.opening import opened
from cli.options import AsJson
from cli.terminal import ENDED_OTHERWISE, OK, speaking
from pipeline import status


def audit_command(as_json: AsJson = False) -> None:
    """Compare balances, ledger, attempts and states; exit 1 on any difference, naming each."""
    with speaking(as_json=as_json) as terminal:
        with opened() as site:
            found = status.audit(site.resources)
        terminal.document({"differences": found})
        if not terminal.as_json:
            for difference in found:
                terminal.out.print(difference, markup=False, highlight=False)
            if not found:
                terminal.out.print("the books add up: batches, ledger, attempts and states tell one story")
        raise typer.Exit(ENDED_OTHERWISE if found else OK)
