"""From an order to a batch: prepared, shown or committed, and watched to its end.

Loads the database driver and the providers' clients; `cli.batches.commands` looks at what needs neither before it
comes here.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import typer

from cli.batches.dry_run import priced_with, say_plan
from cli.batches.enqueue_options import EnqueueOptions
from cli.batches.watch import Watch, conclude
from cli.batches.watch_screen import watch_batches
from cli.installation import Opened, crew_of_command, opened
from cli.sandbox_child import is_missing, sandbox_child, with_stand_in
from cli.terminal import ENDED_OTHERWISE, OK, Terminal
from domain.errors import BadInput
from domain.states import GenerationState
from pipeline.intake.commit import Enqueued, commit, writing_ahead
from pipeline.intake.plan import Order, Plan, prepare
from pipeline.intake.plan_figures import figures_of
from pipeline.intake.prompt_check import objections, refuse_objectionable
from pipeline.intake.prompt_rows import PromptRows
from pipeline.resources import Resources
from pipeline.views import status
from runtime.lanes import require_lane
from runtime.settings import Settings, read_settings
from runtime.site import is_embedded
from runtime.supervisor import Child

#: Of the stand-in that a command brings: as those of `up`.
_LATENCY_S: Final = 0.4
_SIZE_PX: Final = 512
#: Of so many latest batches, those under way are watched where none is named.
_LATEST: Final = 100


def enqueue(
    options: EnqueueOptions,
    prompts: PromptRows,
    terminal: Terminal,
    *,
    dry_run: bool,
    then_watch: bool,
    report: Path | None,
    log: Path | None = None,
    workers: bool = False,
) -> None:
    """What `enqueue` and `run` share."""
    settings = read_settings()
    order = replace(options.order(prompts, user_id=settings.user), only_priced=dry_run)
    providers = sorted({name or order.provider for name in prompts.providers})
    stands_in = then_watch and not dry_run and is_missing(settings, providers) and (workers or is_embedded(settings))
    if stands_in:
        settings = with_stand_in(settings)
    if not dry_run or options.check_prompts or options.skip_refused:
        for provider in providers:
            require_lane(settings, provider)
    with opened(settings) as site, priced_with(site, providers) as resources:
        written = _planned_and_committed(resources, site, order, options, terminal)
        if written is None:
            return
        if then_watch:
            beside = [stand_in_of(site.settings)] if stands_in else []
            raise typer.Exit(
                watch_to_the_end(site, order.name, terminal, report, log=log, workers=workers, beside=beside)
            )
        counts = {"new": written.new, "known": written.known, "changed": written.changed}
        terminal.document({**status.of_batch(site.resources, written.batch_id).as_json(), **counts})


def _planned_and_committed(
    resources: Resources, site: Opened, order: Order, options: EnqueueOptions, terminal: Terminal
) -> Enqueued | None:
    """Check the rows and enqueue them; None where they are only priced, and the plan is shown.

    Args:
        resources: those of the site, with prices for what it has no key for.
    """
    at_once = not (order.only_priced or options.check_prompts or options.skip_refused)
    with writing_ahead(resources, at_once=at_once) as ahead:
        plan = prepare(resources, order, ahead=ahead)
        if options.skip_refused:
            plan = _without_refused(options, plan, site, terminal)
        _warn(terminal, plan.warnings)
        if options.check_prompts and not options.skip_refused:
            terminal.note(refuse_objectionable(site.resources, plan).counts())
        if order.only_priced:
            say_plan(terminal, plan, figures_of(site.resources, plan))
            return None
        written = commit(site.resources, plan)
    say_enqueued(terminal, plan, written)
    return written


def stand_in_of(settings: Settings) -> Child:
    """The stand-in that a command brings where none is named."""
    return sandbox_child(settings, latency_s=_LATENCY_S, size_px=_SIZE_PX)


def _without_refused(options: EnqueueOptions, plan: Plan, site: Opened, terminal: Terminal) -> Plan:
    """The same order without the rows that their provider would refuse; each is named."""
    found = objections(site.resources, plan)
    if found.passed:
        terminal.note(found.counts())
    if not found.refused:
        return plan
    if not found.passed + found.wordless:
        raise BadInput(f"the provider refuses all of the prompts, and nothing was enqueued: {found.sentence()}")
    if str(options.prompts) == "-":
        raise BadInput("--skip-refused reads the prompts twice; name a file")
    terminal.note(f"warning: left out, since the provider refuses them: {found.sentence()}")
    again = options.read()
    rows = (row for row in again if (row.line, row.prompt) not in found.refused)
    return prepare(site.resources, replace(plan.order, prompts=rows, findings=again.findings, whole_file=False))


def say_enqueued(terminal: Terminal, plan: Plan, written: Enqueued) -> None:
    """What became of the rows."""
    rows = plan.order.prompts
    terminal.note(
        f"batch {plan.order.name!r}: {written.new} new, {written.known} known"
        + (f", {written.changed} that stay as they are" if written.changed else "")
        + (f", {rows.blank} blank rows passed over" if isinstance(rows, PromptRows) and rows.blank else "")
    )
    _warn(terminal, written.warnings)
    if written.vanished:
        number = len(written.vanished)
        shown = ", ".join(f"{prompt!r:.60}" for _, prompt in written.vanished[:5])
        more = f" and {number - 5} more" if number > 5 else ""
        # A row may be there with other settings: of a picture that was rejected or never made it makes a new one.
        what = "generation stays" if number == 1 else "generations stay"
        terminal.note(f"{number} {what} that the file asks for in another way or no more: {shown}{more}")


def watch_to_the_end(
    opened: Opened,
    name_or_id: str,
    terminal: Terminal,
    report: Path | None,
    *,
    log: Path | None,
    workers: bool = False,
    beside: Sequence[Child] = (),
) -> int:
    """Look on until nothing moves any more; returns the exit code.

    Args:
        workers: bring some although the installation is not embedded.
        beside: what else runs as long as they do.
    """
    ended = watched(opened, name_or_id, terminal, log=log, workers=workers, beside=beside)
    return conclude(opened.resources, ended, terminal, report=report, more={})


def watched(
    opened: Opened,
    name_or_id: str,
    terminal: Terminal,
    *,
    log: Path | None = None,
    workers: bool = False,
    beside: Sequence[Child] = (),
) -> status.BatchStatus:
    """Look on until nothing moves any more, with workers of this command's own where there are no others."""
    found = status.find(opened.resources, name_or_id, user_id=opened.settings.user)
    # Pictures that rows hand in are looked at by the model that checks others.
    checks = found.batch.character_id is not None or bool(found.progress.counts[GenerationState.PREPARING])
    brings = workers or is_embedded(read_settings())
    with crew_of_command(opened, terminal, checks=checks, brings=brings, beside=beside) as tend:
        watch = Watch(opened.resources, found.batch.id, terminal, tend=tend, brings_workers=brings, log=log)
        return watch_batches(opened.resources, [watch], terminal, user=opened.settings.user)[0]


def watch_many(opened: Opened, names: Sequence[str], terminal: Terminal) -> int:
    """Look on at several batches, or without names at all that are under way; returns the exit code."""
    user = opened.settings.user
    found = {one.batch.id: one for one in (status.find(opened.resources, name, user_id=user) for name in names)}
    if not names:
        found = {
            one.batch.id: one for one in status.latest(opened.resources, user_id=user, limit=_LATEST) if not one.over
        }
    if not found:
        raise BadInput("no batch is under way; `likeness watch BATCH` shows one that is over")
    checks = any(one.batch.character_id is not None for one in found.values())
    brings = is_embedded(read_settings())
    told: set[tuple[str | None, ...]] = set()
    with crew_of_command(opened, terminal, checks=checks, brings=brings) as tend:
        watches = [
            Watch(opened.resources, batch_id, terminal, tend=tend, brings_workers=brings, told=told)
            for batch_id in found
        ]
        ended = watch_batches(opened.resources, watches, terminal, user=user)
    terminal.document({"batches": [one.as_json() for one in ended]})
    for one in ended:
        terminal.note(f"{one.batch.name}: {one.accepted:,} of {one.progress.total:,} accepted")
    return OK if all(one.all_accepted for one in ended) else ENDED_OTHERWISE


def _warn(terminal: Terminal, warnings: Iterable[str]) -> None:
    for warning in warnings:
        terminal.note(f"warning: {warning}")
