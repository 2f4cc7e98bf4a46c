"""`doubts`: list attempts whose submission is in doubt, and settle them by hand."""

from collections.abc import Sequence
from datetime import UTC
from typing import Annotated
from uuid import UUID

import typer

from cli.installation import opened
from cli.options import AsJson
from cli.tables import one_line, table_of
from cli.terminal import Terminal, open_terminal
from domain.errors import BadInput
from domain.ids import AttemptId
from domain.money import read_limit, show
from domain.states import AttemptKind
from pipeline.attempts import late_discovery
from pipeline.attempts.late_discovery import FoundLate
from pipeline.doubts import by_person

#: An attempt's id is what `settle` takes; it is shown whole at any width.
_ID = len(str(UUID(int=0)))

_OUTCOMES = {
    by_person.Settled.JOB_ADOPTED: "adopts its job; the next poll says what became of it",
    by_person.Settled.REPLY_ADOPTED: "its reply was in the picture store all the time, and is adopted",
    by_person.Settled.CHARGED: "charged, and failed: the picture is lost",
    by_person.Settled.RELEASED: "released",
}

app = typer.Typer(help="Attempts that may or may not have been paid.", invoke_without_command=True)


@app.callback()
def list_command(context: typer.Context, as_json: AsJson = False) -> None:
    """List every doubt, with what you need to settle it."""
    if context.invoked_subcommand is not None:
        return
    with open_terminal(as_json=as_json) as terminal, opened() as site:
        found = by_person.list_doubts(site.resources, user_id=site.settings.user)
        turned_up = late_discovery.list_found_late(site.resources, user_id=site.settings.user)
        terminal.document(
            {"doubts": [_document(one) for one in found], "found_late": [_late_document(one) for one in turned_up]}
        )
        if not terminal.as_json:
            _table(terminal, found)
            _late_table(terminal, turned_up)


def _document(doubt: by_person.Doubt) -> dict[str, str | None]:
    work = doubt.work
    return {
        "attempt_id": str(work.attempt_id),
        "generation_id": str(work.generation_id),
        "lane": work.lane,
        "model": work.model,
        "held_usd": show(work.hold_usd),
        "intent_at": work.intent_at.isoformat() if work.intent_at else None,
        "doubted_at": doubt.doubted_at.isoformat(),
        "absent_since": doubt.absent_since.isoformat() if doubt.absent_since else None,
        "unsettled_because": doubt.unsettled_because,
        "sent_prompt": work.sent_prompt,
    }


def _late_document(found: FoundLate) -> dict[str, str | bool | None]:
    work = found.work
    return {
        "attempt_id": str(work.attempt_id),
        "generation_id": str(work.generation_id),
        "generation_state": found.generation_state,
        "lane": work.lane,
        "job_id": work.job_id,
        "found_at": found.found_at.isoformat(),
        "decides": work.kind is AttemptKind.IMAGE,
        "held_usd": show(work.hold_usd) if found.charged_usd is None else None,
        "charged_usd": None if found.charged_usd is None else show(found.charged_usd),
    }


def _late_table(terminal: Terminal, found: Sequence[FoundLate]) -> None:
    """Jobs that turned up after they had been settled as lost."""
    if not found:
        return
    # The job stands below its attempt, and money and state share a column: beside each other they need 140 characters.
    first = "attempt, its job"
    table = table_of(
        first, "lane", "found at (UTC)", "what became of it", giving=("what became of it",), least={first: _ID}
    )
    table.title, table.title_justify = "found late", "left"
    for one in found:
        work = one.work
        money = f"${show(work.hold_usd)} held" if one.charged_usd is None else f"${show(one.charged_usd)} charged"
        beside = "" if work.kind is AttemptKind.IMAGE else ", paid beside it"
        found_at = one.found_at.astimezone(UTC).strftime("%m-%d %H:%M:%S")
        became = f"{money}; its generation is {one.generation_state.replace('_', ' ')}{beside}"
        ids = "\n".join(filter(None, [str(work.attempt_id), work.job_id]))
        table.add_row(ids, work.lane, found_at, became)
    terminal.show(table)


def _table(terminal: Terminal, found: list[by_person.Doubt]) -> None:
    if not found:
        terminal.out.print("no doubts: every submission is known to be accepted or not")
        return
    columns = ("attempt", "lane", "held", "sent at (UTC)", "sent prompt")
    table = table_of(*columns, numbers=("held",), giving=("sent prompt",), least={"attempt": _ID})
    for doubt in found:
        work = doubt.work
        sent_at = work.intent_at.strftime("%m-%d %H:%M:%S") if work.intent_at else ""
        sent = one_line(work.sent_prompt or "")
        table.add_row(str(work.attempt_id), work.lane, f"${show(work.hold_usd)}", sent_at, sent)
    terminal.show(table)
    for doubt in found:
        if doubt.unsettled_because is not None:
            terminal.note(f"{doubt.work.attempt_id}: {doubt.unsettled_because}")
    terminal.note(
        "look for the job in the provider's own list; then `likeness doubts settle ATTEMPT --paid JOB`,"
        " or `--lost` if it is certain that there is none;"
        " where a lost reply was the picture, as at OpenAI, JOB is a name for the call, and --amount what was billed"
    )


@app.command("settle")
def settle_command(
    attempt: Annotated[str, typer.Argument(help="Id of the attempt in doubt.")],
    paid: Annotated[str | None, typer.Option(metavar="JOB", help="The provider has it, under this id.")] = None,
    amount: Annotated[
        str | None, typer.Option(metavar="USD", help="Amount billed, where the picture came with the lost reply.")
    ] = None,
    unchecked: Annotated[
        bool, typer.Option("--unchecked", help="Accept JOB although the service does not show our request for it.")
    ] = False,
    lost: Annotated[bool, typer.Option("--lost", help="The provider never had it; release the money.")] = False,
    as_json: AsJson = False,
) -> None:
    """Settle one attempt by what you found out about it."""
    with open_terminal(as_json=as_json) as terminal:
        if (paid is None) == (not lost):
            raise BadInput("say either --paid JOB or --lost")
        if amount is not None and lost:
            raise BadInput("--amount is for --paid; what never arrived costs nothing")
        if unchecked and lost:
            raise BadInput("--unchecked is for --paid")
        billed = None if amount is None else read_limit(amount, what="--amount")
        try:
            attempt_id = AttemptId(UUID(attempt))
        except ValueError:
            raise BadInput(f"{attempt!r} is no id of an attempt; `likeness doubts` lists them") from None
        with opened() as site:
            if paid is not None:
                settled = by_person.settle_as_paid(
                    site.resources,
                    attempt_id,
                    job_id=paid,
                    amount_usd=billed,
                    unchecked=unchecked,
                    by=site.settings.user,
                )
            else:
                settled = by_person.settle_as_lost(site.resources, attempt_id, by=site.settings.user)
        terminal.document({"attempt_id": str(attempt_id), "settled": "paid" if paid else "lost", "outcome": settled})
        if not terminal.as_json:
            terminal.out.print(f"attempt {attempt_id}: {_OUTCOMES[settled]}")
