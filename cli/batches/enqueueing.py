"""From a wish to a batch: the file and the options are checked, priced and written, and a batch is watched to its end.

Loads the database driver and the providers' clients; `cli.batches.commands` looks at what needs neither before it
comes here.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import typer

from cli.batches.enqueue_options import Wish
from cli.batches.watch import Watch, conclude
from cli.installation import Opened, crew_if_embedded, opened
from cli.terminal import Terminal
from domain.money import read_limit, show
from pipeline.characters.character_names import find_all, join_names
from pipeline.intake.enqueue import Enqueued, Order, Plan, enqueue, plan
from pipeline.intake.prompt_check import refuse_objectionable
from pipeline.intake.prompt_file import PromptRows, read_prompts
from pipeline.views import status
from providers.catalogue import load
from reports.wording import duration_text
from runtime.lanes import require_lane
from runtime.settings import Settings, read_settings
from runtime.site import is_embedded


def _order(wish: Wish, settings: Settings) -> Order:
    limit = None if wish.max_cost is None else read_limit(wish.max_cost, what="--max-cost")
    most = None if wish.max_image_cost is None else read_limit(wish.max_image_cost, what="--max-image-cost")
    return Order(
        name=wish.name or wish.prompts.stem,
        user_id=settings.user,
        provider=wish.provider,
        model=wish.model,
        character=join_names(wish.character),
        settings=wish.settings,
        limit_usd=limit,
        max_image_cost=most,
        priority=wish.priority,
        whole_file=wish.start == 0 and wish.end is None and not wish.approved_only,
        times=wish.times,
        categories=tuple(wish.category or ()),
        hold_usd={"ttapi": settings.ttapi_price_usd},
        try_policy=wish.try_policy,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """Rows and order, checked as far as that needs no server; what is wrong is said before any is started."""

    order: Order
    rows: PromptRows


def check(wish: Wish, settings: Settings) -> Checked:
    """Read the file and the options.

    Raises:
        RequestError: the file or an option is not usable.
        ServiceMissing: a key is not set.
    """
    order = _order(wish, settings)
    rows = read_prompts(
        wish.prompts, start=wish.start, end=wish.end, approved_only=wish.approved_only, workbook=wish.workbook
    )
    for provider in sorted({row.provider or order.provider for row in rows}):
        require_lane(settings, provider)
    return Checked(order=order, rows=rows)


def planned(opened: Opened, checked: Checked) -> Plan:
    order = checked.order
    find_all(opened.resources, order.character)
    with checked.rows.located():
        made = plan(opened.resources, load(), order, checked.rows, today=datetime.now(UTC).date())
    return replace(made, warnings=[*checked.rows.warnings, *made.warnings])


def say_plan(terminal: Terminal, checked: Checked, made: Plan) -> None:
    """The dry run: what it would cost, and what is odd."""
    terminal.document(
        {
            "name": checked.order.name,
            "dry_run": True,
            "total": len(made.rows),
            "expected_usd": show(made.expected_usd),
            "at_most_usd": show(made.at_most_usd),
            "known": made.known,
            "at_least_s": round(made.at_least.total_seconds(), 1),
            "at_most_s": round(made.at_most.total_seconds(), 1),
            "limit_usd": show(checked.order.limit_usd),
            "plan_hash": made.digest,
            "max_tries": checked.order.policy.max_tries,
            "warnings": list(made.warnings),
        }
    )
    if not terminal.as_json:
        terminal.out.print(
            f"{len(made.rows)} prompt{'' if len(made.rows) == 1 else 's'} would cost"
            f" about {show(made.expected_usd)} USD and at most {show(made.at_most_usd)} USD; nothing was enqueued"
        )
        terminal.out.print(
            f"{made.known} of them are in the batch already and would be skipped;"
            f" the others take {duration_text(made.at_least.total_seconds())}"
            f" to {duration_text(made.at_most.total_seconds())}"
        )
        terminal.out.print(f"plan {made.digest}; the same rows with the same settings make the same plan")
        if checked.order.policy.on:
            terminal.out.print(
                f"each may come to {checked.order.policy.max_tries} tries; a further one costs about as much again,"
                " and is made only while the budget allows it"
            )
        themes = {row.theme for row in made.rows if row.theme}
        if themes:
            terminal.out.print(f"{len(themes)} theme{'' if len(themes) == 1 else 's'}: {', '.join(sorted(themes))}")


def say_enqueued(terminal: Terminal, written: Enqueued, checked: Checked) -> None:
    terminal.note(
        f"batch {checked.order.name!r}: {written.new} new, {written.known} known"
        + (f", {checked.rows.blank} blank rows passed over" if checked.rows.blank else "")
    )
    for warning in written.warnings:
        terminal.note(f"warning: {warning}")
    if written.vanished:
        shown = ", ".join(f"row {position}" for position, _ in written.vanished[:5])
        more = f" and {len(written.vanished) - 5} more" if len(written.vanished) > 5 else ""
        terminal.note(f"{len(written.vanished)} generations have no row in the file any more: {shown}{more}; they stay")


def _warn(terminal: Terminal, made: Plan) -> None:
    for warning in made.warnings:
        terminal.note(f"warning: {warning}")


def watch_to_the_end(opened: Opened, name_or_id: str, terminal: Terminal, report: Path | None) -> int:
    """Look on until nothing moves any more; returns the exit code."""
    found = status.find(opened.resources, name_or_id, user_id=opened.settings.user)
    checks = found.batch.character_id is not None
    with crew_if_embedded(opened, terminal, checks=checks) as tend:
        brings = is_embedded(read_settings())
        ended = Watch(opened.resources, found.batch.id, terminal, tend=tend, brings_workers=brings).until_over()
    return conclude(opened.resources, ended, terminal, report=report, more={})


def enqueue_wish(wish: Wish, terminal: Terminal, *, dry_run: bool, then_watch: bool, report: Path | None) -> None:
    """What `enqueue` and `run` share."""
    settings = read_settings()
    checked = check(wish, settings)
    with opened(settings) as site:
        made = planned(site, checked)
        _warn(terminal, made)
        if wish.check_prompts:
            terminal.note(f"{refuse_objectionable(site.resources, made.rows)} prompts have passed the provider's check")
        if dry_run:
            say_plan(terminal, checked, made)
            return
        written = enqueue(site.resources, checked.order, made)
        say_enqueued(terminal, written, checked)
        if then_watch:
            raise typer.Exit(watch_to_the_end(site, checked.order.name, terminal, report))
        terminal.document(
            {**status.of_batch(site.resources, written.batch_id).as_json(), "new": written.new, "known": written.known}
        )
