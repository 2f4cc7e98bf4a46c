"""`demo`: the whole system on this machine, with a stand-in for the provider and nothing to configure."""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer

from cli.batches import enqueueing
from cli.batches.enqueue_options import EnqueueOptions
from cli.batches.watch import Watch, conclude
from cli.batches.watch_screen import watch_batches
from cli.demo import stand_in
from cli.installation import opened, tending
from cli.options import AsJson
from cli.sandbox_child import address, sandbox_child
from cli.terminal import ENDED_OTHERWISE, OK, Terminal, open_terminal
from domain.money import show, usd
from domain.states import GenerationState
from pipeline.intake.commit import commit
from pipeline.intake.plan import prepare
from pipeline.views.status import BatchStatus
from runtime.crew import crew_of, workers
from runtime.settings import Settings, read_settings
from runtime.supervisor import Child

_NAME = "demo"
_WEIGHT = 100


def demo_settings() -> Settings:
    """The settings of the demo: those of the environment, with the sandbox's own small model for the check."""
    given = read_settings()
    return given.model_copy(
        update={
            "sandbox_base_url": address(given.home),
            "clip_model": stand_in.SMALL_MODEL,
            "analysis_model": None,
            # It sees little but who it is, and all of the demo is one character.
            "near_duplicate": 0.995,
        }
    )


def demo_command(
    report: Annotated[Path, typer.Option(help="Where the contact sheet goes.")] = Path("report.html"),
    latency: Annotated[float, typer.Option(min=0, help="Seconds that the stand-in takes for a picture.")] = 0.4,
    size: Annotated[int, typer.Option(min=64, max=1024, help="Side of a picture in pixels.")] = 512,
    chaos: Annotated[
        bool, typer.Option("--chaos", help="Three services and six models instead, and everything goes wrong.")
    ] = False,
    rate: Annotated[float, typer.Option(min=0, max=1, help="With --chaos: share of the calls that go wrong.")] = 0.1,
    seed: Annotated[int, typer.Option(help="With --chaos: which of them.")] = 1,
    as_json: AsJson = False,
) -> None:
    """28 prompts through embedded servers, workers and a stand-in for the provider: nothing to configure.

    Ends with 0 where every picture was checked and the books equal the stand-in's bill, whatever the verdicts.
    """
    with open_terminal(as_json=as_json) as terminal:
        if chaos:
            from cli.demo.chaos import Storm, chaos_demo

            storm = Storm(rate=rate, seed=seed)
            raise typer.Exit(chaos_demo(terminal, storm, report=report, latency_s=latency, size_px=size))
        raise typer.Exit(demo(terminal, report=report, latency_s=latency, size_px=size))


def demo(terminal: Terminal, *, report: Path, latency_s: float, size_px: int) -> int:
    """Run the demo, or go on with the one that was interrupted; returns the exit code."""
    # Nobody calls back: the demo needs no port, and its tokens go nowhere.
    settings = demo_settings().model_copy(update={"public_url": None})
    with opened(settings) as site, crew_of(site.settings.home) as crew:

        def members() -> Sequence[Child]:
            stand = sandbox_child(site.settings, latency_s=latency_s, size_px=size_px)
            return [stand, *workers(site.settings)]

        tend = tending(site, crew, terminal, members=members, checks=True)
        tend()
        stand_in.add_example_character(site)
        options = EnqueueOptions(
            prompts=stand_in.EXAMPLE / "prompts.csv",
            name=stand_in.batch_name(site, _NAME, is_over=lambda batch: batch.over),
            character=["lulu-pig"],
            provider="sandbox",
            mode="fast",
            cref_weight=_WEIGHT,
            approved_only=True,
        )
        plan = prepare(site.resources, options.order(options.read(), user_id=site.settings.user))
        written = commit(site.resources, plan)
        enqueueing.say_enqueued(terminal, plan, written)
        watch = Watch(site.resources, written.batch_id, terminal, tend=tend)
        (ended,) = watch_batches(site.resources, [watch], terminal, user=site.settings.user)
        billed = usd(sum((Decimal(job["charged_usd"]) for job in stand_in.jobs_of(site, ended)), Decimal(0)))
        more = {"bill_usd": show(billed)}
        conclude(site.resources, ended, terminal, report=report, more=more, remark=_on_rejected(ended))
        if not terminal.as_json:
            terminal.note(f"the stand-in's own bill says {show(billed)} USD")
        return OK if _ended_as_it_should(ended, billed) else ENDED_OTHERWISE


def _on_rejected(ended: BatchStatus) -> str | None:
    if not ended.progress.counts[GenerationState.REJECTED]:
        return None
    return "Rejections belong to the demo: the stand-in does not always draw the character, and the check notices."


def _ended_as_it_should(ended: BatchStatus, billed: Decimal) -> bool:
    """Whether every prompt has a picture and a verdict, and the books say what the stand-in's bill says.

    Which verdict does not matter here: no prompt is lost by a rejection, it is what the check is for.
    """
    counts = ended.progress.counts
    judged = counts[GenerationState.COMPLETED] + counts[GenerationState.REJECTED]
    return judged == ended.progress.total and ended.batch.charged_usd == billed
