"""The dry run: what a plan would cost and take, and how far its budget goes. Nothing is enqueued, nobody is asked."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

from cli.installation import Opened
from cli.tables import one_line, table_of
from cli.terminal import Terminal
from domain.money import show
from pipeline.intake.plan import Plan
from pipeline.intake.plan_figures import BudgetReach, ModelFigures, PlanFigures
from pipeline.intake.prompt_rows import PromptRows
from pipeline.resources import Resources
from reports.wording import dollars, duration_text
from runtime.lanes import open_unkeyed

_THEMES_NAMED = 50


@contextmanager
def priced_with(site: Opened, providers: Sequence[str]) -> Iterator[Resources]:
    """The installation's resources, with a lane for each provider that has no key here: enough to check and to price.

    Raises:
        UnknownThing: there is no such provider.
    """
    served = {lane.provider for lane in site.resources.lanes.values()}
    with ExitStack() as stack:
        unkeyed = {name: open_unkeyed(name) for name in providers if name not in served}
        for lane in unkeyed.values():
            stack.callback(lane.close)
        yield replace(site.resources, lanes={**site.resources.lanes, **unkeyed}) if unkeyed else site.resources


def say_plan(terminal: Terminal, plan: Plan, figures: PlanFigures, *, more: Mapping[str, object] | None = None) -> None:
    """What it would cost, and what is odd.

    Args:
        more: of the document of `--json`.
    """
    order = plan.order
    terminal.document({**_document(plan, figures), **(more or {})})
    if terminal.as_json:
        return
    say = terminal.out.print
    new = sum(one.count for one in plan.new)
    say(
        f"{new} prompt{'' if new == 1 else 's'} would cost about {show(plan.expected_usd)} USD"
        f" and at most {show(plan.at_most_usd)} USD; nothing was enqueued"
    )
    took = f"{duration_text(plan.at_least.total_seconds())} to {duration_text(plan.at_most.total_seconds())}"
    say(
        f"{plan.total - new} of {plan.total} are in the batch already and would be skipped; the others take {took}"
        if plan.at_most
        else f"{plan.total - new} of {plan.total} are in the batch already and would be skipped"
    )
    if (rows := _approval_in_words(order.prompts)) is not None:
        say(rows)
    if figures.themes:
        say(_themes_in_words(figures))
    if figures.models:
        terminal.show(_models(figures.models))
    say(_budget_in_words(figures.budget, plan))
    if looked := plan.looks.in_words():
        say(looked)
    say(f"plan {plan.digest}; the same rows with the same settings make the same plan")
    if plan.words_usd:
        say(f"of that, the words that a model writes before the pictures are at most {show(plan.words_usd)} USD")
    if plan.finishing_usd:
        say(f"of that, finishing the pictures is at most {show(plan.finishing_usd)} USD, if every one is accepted")
    if order.policy.on:
        say(
            f"each may come to {order.policy.max_tries} tries; a further one costs about as much again,"
            " and is made only while the budget allows it"
        )


def _approval_in_words(rows: object) -> str | None:
    if not isinstance(rows, PromptRows) or not rows.approved + rows.unapproved.total():
        return None
    asked = rows.approved + rows.unapproved.total()
    said = f"{rows.approved:,} of {asked:,} rows are approved ({100 * rows.approved / asked:.0f} %)"
    if not rows.unapproved:
        return said
    left = f"{rows.unapproved.total():,} that are not"
    return f"{said}; {left} are left out" if rows.approved_only else f"{said}; --approved-only would leave out {left}"


def _themes_in_words(figures: PlanFigures) -> str:
    themes, grid = len(figures.themes), figures.grid
    named = ", ".join(sorted(figures.themes)[:_THEMES_NAMED]) + (", …" if themes > _THEMES_NAMED else "")
    what = f"{themes:,} theme{'' if themes == 1 else 's'}"
    if grid is not None:
        what += f" × {grid[1]:,} variation{'' if grid[1] == 1 else 's'}"
    elif figures.variations:
        what += f", {len(figures.variations):,} variations"
    return f"{what}: {named}"


def _models(models: Sequence[ModelFigures]) -> Any:
    numbers = ("rows", "each", "together", "at most", "a job takes")
    table = table_of("model", "mode", *numbers, "says", numbers=numbers, giving=("model", "says"))
    for one in models:
        table.add_row(
            one_line(f"{one.model} by {one.provider}"),
            one.mode or "–",
            f"{one.count:,}",
            dollars(one.usd_each),
            dollars(one.expected_usd),
            dollars(one.at_most_usd),
            duration_text(one.usual_s),
            one.source,
        )
    return table


def _budget_in_words(budget: BudgetReach, plan: Plan) -> str:
    if budget.limit_usd is None:
        return "no budget is set; --max-cost sets a hard limit"
    limit = f"the budget of {show(budget.limit_usd)} USD"
    if budget.used_usd:
        limit += f", of which {show(budget.used_usd)} USD is used,"
    if budget.suffices:
        tries = " for every row's first try" if plan.order.policy.on else ""
        if budget.finishing_short_usd:
            lacking = show(budget.finishing_short_usd)
            return f"{limit} suffices{tries}, but for finishing all of them it can be {lacking} USD short"
        return f"{limit} suffices{tries}"
    short = f"{limit} is {show(budget.short_usd)} USD short" if budget.short_usd else f"{limit} does not suffice"
    if budget.last_row is None:
        return f"{short}; it stops before the last row"
    return f"{short}: it would stop after row {budget.last_row} (line {budget.last_line}); raise --max-cost"


def _document(plan: Plan, figures: PlanFigures) -> dict[str, object]:
    budget, grid = figures.budget, figures.grid
    return {
        "name": plan.order.name,
        "dry_run": True,
        "total": plan.total,
        "expected_usd": show(plan.expected_usd),
        "at_most_usd": show(plan.at_most_usd),
        "words_usd": show(plan.words_usd),
        "finishing_usd": show(plan.finishing_usd),
        "known": plan.known,
        "changed": len(plan.changed),
        # Without a lane here nobody knows how many jobs would run at once.
        "at_least_s": round(plan.at_least.total_seconds(), 1) if plan.at_most or not plan.new else None,
        "at_most_s": round(plan.at_most.total_seconds(), 1) if plan.at_most or not plan.new else None,
        "references": {
            "looked_at": len(plan.looks.contents),
            "unreached": list(plan.looks.unreached),
            "passed_over": plan.looks.passed_over,
        },
        "limit_usd": show(plan.order.limit_usd),
        "plan_hash": plan.digest,
        "max_tries": plan.order.policy.max_tries,
        **_approval(plan.order.prompts),
        "themes": dict(figures.themes),
        "variations": None if grid is None else grid[1],
        "models": [_model(one) for one in figures.models],
        "budget": {
            "limit_usd": show(budget.limit_usd),
            "used_usd": show(budget.used_usd),
            "suffices": budget.suffices,
            "short_usd": show(budget.short_usd),
            "finishing_short_usd": show(budget.finishing_short_usd),
            "stops_after_row": budget.last_row,
            "stops_after_line": budget.last_line,
        },
        "warnings": list(plan.warnings),
    }


def _approval(rows: object) -> dict[str, object]:
    """How many rows are approved; None where the file says nothing about it."""
    if not isinstance(rows, PromptRows):
        return {"approved": None, "unapproved": None, "approval_rate": None, "left_out": 0}
    unapproved = rows.unapproved.total()
    counted = rows.approved + unapproved
    return {
        "approved": rows.approved if counted else None,
        "unapproved": unapproved if counted else None,
        "approval_rate": round(rows.approved / counted, 6) if counted else None,
        "left_out": unapproved if rows.approved_only else 0,
    }


def _model(one: ModelFigures) -> dict[str, object]:
    return {
        "provider": one.provider,
        "model": one.model,
        "mode": one.mode,
        "rows": one.count,
        "usd_each": show(one.usd_each),
        "expected_usd": show(one.expected_usd),
        "at_most_usd": show(one.at_most_usd),
        "usual_s": one.usual_s,
        "usual_from": one.source,
    }
