"""The command `likeness`: the table of its commands, and how a call that cannot be understood ends."""

import gc
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from cli.defects import recorded
from cli.lazy import Entry, PanelledGroup, group_of
from cli.options import one_address_each
from cli.terminal import ENDED_OTHERWISE, INTERRUPTED, OK, Terminal
from domain.errors import BadInput
from domain.validation_messages import plain_message

_MAKE, _LOOK, _STEER, _CHARACTERS, _MACHINE = "Make pictures", "Look", "Steer", "Characters", "This machine"

COMMANDS = (
    Entry(
        name="demo",
        target="cli.demo.commands:demo_command",
        panel=_MAKE,
        says="28 prompts, a stand-in, nothing to set up",
    ),
    Entry(
        name="run",
        target="cli.batches.commands:run_command",
        panel=_MAKE,
        says="Enqueue a file of prompts and watch it",
    ),
    Entry(
        name="enqueue",
        target="cli.batches.commands:enqueue_command",
        panel=_MAKE,
        says="Enqueue it, for workers elsewhere",
    ),
    Entry(
        name="generate",
        target="cli.batches.generate:generate_command",
        panel=_MAKE,
        says="One picture, from words or from a picture",
    ),
    Entry(
        name="cref-test",
        target="cli.batches.comparing:cref_test_command",
        panel=_MAKE,
        says="Which reference weight suits a character",
    ),
    Entry(
        name="compare",
        target="cli.batches.comparing:compare_command",
        panel=_MAKE,
        says="A/B: models, modes, weights, wordings",
    ),
    Entry(
        name="watch",
        target="cli.batches.commands:watch_command",
        panel=_MAKE,
        says="Watch and steer batches to their end",
    ),
    Entry(name="status", target="cli.batches.looking:status_command", panel=_LOOK, says="How far a batch is"),
    Entry(name="list", target="cli.batches.looking:list_command", panel=_LOOK, says="Generations, one a line"),
    Entry(name="show", target="cli.batches.whole_story:show_command", panel=_LOOK, says="One generation's whole story"),
    Entry(
        name="report",
        target="cli.batches.reports:report_command",
        panel=_LOOK,
        says="Report of a batch: page, PDF, CSV, JSON",
    ),
    Entry(name="export", target="cli.batches.reports:export_command", panel=_LOOK, says="Copy pictures out, by theme"),
    Entry(name="cost", target="cli.batches.cost:cost_command", panel=_LOOK, says="What was paid, per batch and in all"),
    Entry(name="models", target="cli.operations.models:app", panel=_LOOK, says="Models, prices, what they take"),
    Entry(name="routing", target="cli.operations.routing:app", panel=_LOOK, says="What models came to, and could have"),
    Entry(name="acts", target="cli.operations.acts:acts_command", panel=_LOOK, says="Who did what, the newest first"),
    Entry(name="audit", target="cli.operations.audit:audit_command", panel=_LOOK, says="Whether the books add up"),
    Entry(
        name="pause",
        target="cli.batches.batch_control:pause_command",
        panel=_STEER,
        says="Start nothing more of a batch",
    ),
    Entry(
        name="resume",
        target="cli.batches.batch_control:resume_command",
        panel=_STEER,
        says="Go on, with another budget if wanted",
    ),
    Entry(
        name="budget",
        target="cli.batches.batch_control:budget_command",
        panel=_STEER,
        says="Another budget for a running batch",
    ),
    Entry(
        name="priority",
        target="cli.batches.batch_control:priority_command",
        panel=_STEER,
        says="Another share of the lanes",
    ),
    Entry(name="cancel", target="cli.batches.batch_control:cancel_command", panel=_STEER, says="Stop a batch for good"),
    Entry(
        name="retry",
        target="cli.batches.batch_control:retry_command",
        panel=_STEER,
        says="Queue failed generations again",
    ),
    Entry(
        name="finish", target="cli.batches.finish:finish_command", panel=_STEER, says="Make accepted pictures larger"
    ),
    Entry(name="doubts", target="cli.operations.doubts:app", panel=_STEER, says="Submissions that may have been paid"),
    Entry(
        name="limits", target="cli.operations.limits:app", panel=_STEER, says="Caps per user and month, lane and day"
    ),
    Entry(
        name="lanes", target="cli.operations.lanes:app", panel=_STEER, says="Accounts: limits, health, open or closed"
    ),
    Entry(
        name="character", target="cli.characters.commands:app", panel=_CHARACTERS, says="Whom the pictures must show"
    ),
    Entry(
        name="validate",
        target="cli.characters.validate:validate_command",
        panel=_CHARACTERS,
        says="Check any pictures at once",
    ),
    Entry(
        name="feedback",
        target="cli.characters.feedback:app",
        panel=_CHARACTERS,
        says="Say whether a picture is right",
    ),
    Entry(
        name="persona",
        target="cli.characters.personas:app",
        panel=_CHARACTERS,
        says="Tastes that lend words to prompts",
    ),
    Entry(
        name="rescore",
        target="cli.characters.rescore:rescore_command",
        panel=_CHARACTERS,
        says="Judge final ones again",
    ),
    Entry(
        name="calibrate",
        target="cli.characters.calibrate:calibrate_command",
        panel=_CHARACTERS,
        says="Fit thresholds, with their error rates",
    ),
    Entry(
        name="webhooks", target="cli.operations.webhooks:app", panel=_MACHINE, says="Whom batches tell of their events"
    ),
    Entry(name="keys", target="cli.operations.keys:app", panel=_MACHINE, says="Who may use the API, and how much"),
    Entry(
        name="doctor", target="cli.operations.doctor:doctor_command", panel=_MACHINE, says="What is missing, what to do"
    ),
    Entry(
        name="health",
        target="cli.operations.probe:health_command",
        panel=_MACHINE,
        says="Whether a role works here, for probes",
    ),
    Entry(
        name="up",
        target="cli.operations.serve:up_command",
        panel=_MACHINE,
        says="Run servers and workers in the foreground",
    ),
    Entry(name="worker", target="cli.operations.serve:worker_command", panel=_MACHINE, says="Run one role of worker"),
    Entry(
        name="migrate",
        target="cli.operations.serve:migrate_command",
        panel=_MACHINE,
        says="Bring the database to this version",
    ),
    Entry(
        name="sandbox",
        target="cli.operations.serve:sandbox_command",
        panel=_MACHINE,
        says="Run the stand-in for the services",
    ),
)

app = typer.Typer(
    name="likeness",
    help="A spreadsheet of prompts becomes checked, paid-for, stored images. It never pays twice.",
    cls=PanelledGroup,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    show_version: Annotated[bool, typer.Option("--version", help="Say the version and end.", is_eager=True)] = False,
) -> None:
    """A spreadsheet of prompts becomes checked, paid-for, stored images. It never pays twice."""
    if show_version:
        from importlib.metadata import version

        sys.stdout.write(f"likeness {version('likeness')}\n")
        raise typer.Exit(OK)
    if context.invoked_subcommand is None:
        sys.stdout.write(context.get_help() + "\n")
        raise typer.Exit(BadInput.exit_code)


def run(arguments: Sequence[str]) -> int:
    """Carry out one call and return its exit code; whatever a person did wrong is one sentence, or one document."""
    terminal = Terminal(as_json="--json" in arguments)
    try:
        ended = group_of(app, COMMANDS).main(
            list(one_address_each(arguments)), prog_name="likeness", standalone_mode=False
        )
    except typer.Abort:
        return INTERRUPTED
    except typer.TyperException as mistake:
        return _misused(terminal, plain_message(mistake.format_message()))
    except Exception as failure:  # noqa: BLE001 -- the top of the process; the trace goes to the log
        # A defect of ours: the trace is for us, and may hold statements; who called gets a sentence and a reference.
        said = recorded(failure)
        terminal.document({"error": {"code": "defect", "message": said}})
        terminal.note(f"error: {said}")
        return ENDED_OTHERWISE
    return ended if isinstance(ended, int) else OK


def _misused(terminal: Terminal, said: str) -> int:
    try:
        terminal.fail(BadInput(f"{said.rstrip('.')}; `--help` after the command shows how it is called"))
    except typer.Exit as ended:
        return ended.exit_code


def main() -> None:
    """Carry out the call of this process, and end it."""
    ended = run(sys.argv[1:])
    # What was imported goes with the process. Without this Python first looks through all of it for garbage, several
    # times, which takes a fifth of what a command that only looks takes.
    gc.freeze()
    sys.exit(ended)


if __name__ == "__main__":
    main()
