"""Carry out a comparison: priced, or made, watched to its end and written as a page."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from cli.batches.dry_run import priced_with, say_plan
from cli.batches.enqueueing import say_enqueued, stand_in_of, watched
from cli.batches.watch import conclude
from cli.installation import Opened, opened
from cli.sandbox_child import is_missing, with_stand_in
from cli.terminal import ENDED_OTHERWISE, OK, Terminal
from domain.money import show
from domain.states import GenerationState
from pipeline.comparison.cases import AskedCase
from pipeline.comparison.results import as_json, comparison_of
from pipeline.intake.commit import commit
from pipeline.intake.order import Order
from pipeline.intake.plan import Plan, prepare
from pipeline.intake.plan_figures import PlanFigures, figures_of
from reports.comparison_page import Comparison, write_comparison
from runtime.lanes import require_lane
from runtime.settings import read_settings
from runtime.site import is_embedded
from runtime.supervisor import Child

#: Repeats that let a single prompt decide anything; see `validation.case_statistics.LEAST_PAIRS`.
_ENOUGH = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A comparison as it was asked for.

    Args:
        prompts: how many; each is made in every case, `repeats` times.
        page: where the result goes.
    """

    order: Order
    cases: Sequence[AskedCase]
    prompts: int
    repeats: int
    page: Path


@contextmanager
def opened_for(providers: Sequence[str], *, actual_run: bool) -> Iterator[tuple[Opened, Sequence[Child]]]:
    """The installation, and the stand-in that is to run beside the workers where none is named, as for `run`.

    A dry run needs no key.
    """
    settings = read_settings()
    stands_in = actual_run and is_missing(settings, providers) and is_embedded(settings)
    if stands_in:
        settings = with_stand_in(settings)
    if actual_run:
        for provider in providers:
            require_lane(settings, provider)
    with opened(settings) as site, priced_with(site, providers) as resources:
        yield replace(site, resources=resources), [stand_in_of(site.settings)] if stands_in else []


def carry_out(
    site: Opened, wanted: Wanted, terminal: Terminal, *, actual_run: bool, beside: Sequence[Child] = ()
) -> int:
    """Say what it costs, or make it; returns the exit code, which is 0 where every picture was judged.

    Args:
        beside: what else runs as long as the workers do.
    """
    plan = prepare(site.resources, wanted.order)
    for warning in plan.warnings:
        terminal.note(f"warning: {warning}")
    if not actual_run:
        _say_dry_run(terminal, wanted, plan, figures_of(site.resources, plan))
        return OK
    say_enqueued(terminal, plan, commit(site.resources, plan))
    ended = watched(site, wanted.order.name, terminal, beside=beside)
    comparison = comparison_of(site.resources, ended)
    write_comparison(comparison, wanted.page)
    more = {"comparison": as_json(comparison), "page": str(wanted.page)}
    conclude(site.resources, ended, terminal, report=None, more=more)
    _say(terminal, comparison, wanted.page)
    failed = ended.progress.counts[GenerationState.FAILED]
    return OK if ended.progress.unfinished == 0 and not failed else ENDED_OTHERWISE


def _say_dry_run(terminal: Terminal, wanted: Wanted, plan: Plan, figures: PlanFigures) -> None:
    names, repeats = [one.name for one in wanted.cases], wanted.repeats
    say_plan(terminal, plan, figures, more={"cases": names, "prompts": wanted.prompts, "repeats": repeats})
    images = len(names) * wanted.prompts * repeats
    terminal.show(
        f"{len(names)} cases × {wanted.prompts} prompt{'s' if wanted.prompts > 1 else ''}"
        f" × {repeats} repeat{'s' if repeats > 1 else ''} = {images} images: {', '.join(names)}",
    )
    if repeats == 1 and wanted.prompts < _ENOUGH:
        price = "" if plan.known else f" (about {show(_ENOUGH * plan.expected_usd)} USD)"
        terminal.show(
            f"one picture of each shows the cases side by side and recommends none; --repeats {_ENOUGH}{price} can tell"
        )
    terminal.show("nothing was spent; add --actual-run to make the pictures")


def _say(terminal: Terminal, comparison: Comparison, page: Path) -> None:
    if terminal.as_json:
        return
    for sentence in comparison.conclusion:
        terminal.note(sentence)
    terminal.note(f"page: {page}")
