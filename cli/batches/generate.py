"""`generate`: one picture, from words, from another picture or from a specification."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.batches.enqueue_options import Finish
from cli.batches.watch import Watch
from cli.batches.watch_screen import watch_batches
from cli.batches.whole_story import document, whole
from cli.installation import Opened, crew_of_command, opened
from cli.options import AsJson, options_from
from cli.terminal import ENDED_OTHERWISE, OK, Terminal, open_terminal
from domain.finishing import FINISH
from domain.ids import BatchId
from domain.money import read_limit
from domain.routing import Routing
from domain.states import GenerationState
from pipeline.intake.commit import commit
from pipeline.intake.plan import prepare
from pipeline.intake.row_inputs import read_spec_file
from pipeline.intake.single import Single, order_of
from pipeline.intake.stage_wishes import read_switch, stage_wishes
from pipeline.views import generations, status
from pipeline.views.generations import GenerationDetails, Wanted
from pipeline.views.stages import stages_of
from providers.catalogue import load
from runtime.lanes import require_lane
from runtime.settings import read_settings
from runtime.site import is_embedded


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateOptions:
    """The options as they were typed; `cli.options.options_from` makes the command take every field of it."""

    prompt: Annotated[str | None, typer.Option(help="What it should show, finished or as a rough idea.")] = None
    image: Annotated[str | None, typer.Option(metavar="PHOTO|URL", help="A picture to start from.")] = None
    vlt: Annotated[
        Path | None, typer.Option("--vlt", metavar="SPEC.json", help="A specification of garments to start from.")
    ] = None
    negative_prompt: Annotated[str | None, typer.Option(help="What it must not show.")] = None
    provider: Annotated[
        str | None, typer.Option(help="Who makes it; `google-imagen` and `dall-e` are understood too.")
    ] = None
    model: Annotated[
        str | None, typer.Option(help="See `likeness models`; `auto` chooses among the provider's, `any` among all.")
    ] = None
    quality: Annotated[str | None, typer.Option(help="`standard`, `hd`, or a word of the model's own.")] = None
    size: Annotated[str | None, typer.Option(help="`square`, `portrait`, `16:9`, `1024x1792`, or a model's own.")] = (
        None
    )
    style: Annotated[str | None, typer.Option(help="`vivid` or `natural`.")] = None
    seed: Annotated[int | None, typer.Option(min=0, help="For pictures that can be made again.")] = None
    character: Annotated[list[str] | None, typer.Option(help="Character it must show; repeat for several.")] = None
    max_cost: Annotated[str | None, typer.Option(metavar="USD", help="Budget, with all its tries.")] = None
    max_image_cost: Annotated[str | None, typer.Option(metavar="USD", help="The most one call may cost.")] = None
    analysis: Annotated[str, typer.Option(help="Who looks at the picture: local, llm or off.")] = "local"
    enhance: Annotated[
        str | None, typer.Option(help="Who writes the prompt: off, local or llm; off for words alone.")
    ] = None
    block: Annotated[str | None, typer.Option(help="Kept word for word in every prompt: a brand.")] = None
    candidates: Annotated[int, typer.Option(min=1, max=16, help="So many prompts to choose from.")] = 4
    persona: Annotated[str | None, typer.Option(help="Whose taste adds words: a name, or auto.")] = None
    optimise: Annotated[
        str, typer.Option(metavar="on|off", help="Rank candidate prompts by what people have preferred.")
    ] = "on"
    finish: Finish = None

    @property
    def words(self) -> dict[str, Any]:
        """Settings that were named."""
        named = {
            "quality": self.quality,
            "size": self.size,
            "style": self.style,
            "seed": self.seed,
            FINISH: self.finish,
        }
        return {name: value for name, value in named.items() if value is not None}

    def single(self) -> Single:
        """What is wanted.

        Raises:
            BadInput: an option or the specification is not usable.
        """
        most = None if self.max_image_cost is None else read_limit(self.max_image_cost, what="--max-image-cost")
        return Single(
            prompt=self.prompt,
            image=self.image,
            vlt=None if self.vlt is None else read_spec_file(self.vlt),
            negative_prompt=self.negative_prompt,
            provider=self.provider,
            model=self.model,
            settings=self.words,
            character=";".join(self.character or ()) or None,
            limit_usd=None if self.max_cost is None else read_limit(self.max_cost, what="--max-cost"),
            max_image_cost=most,
            analysis=self.analysis,
            enhance=self.enhance,
            block=self.block,
            candidates=self.candidates,
            more=stage_wishes(persona=self.persona, optimise=read_switch(self.optimise, what="--optimise")),
        )


@options_from("options", GenerateOptions)
def generate_command(
    options: GenerateOptions,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Enqueue it and end; workers elsewhere go on.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make one picture, from words, from a picture or from a specification."""
    with open_terminal(as_json=as_json) as terminal:
        single = options.single()
        if options.model is not None and Routing.of(options.model) is None:
            load().get(options.model).check_usable(datetime.now(UTC).date())
        with opened() as site:
            raise typer.Exit(_generate(site, single, terminal, wait=not no_wait))


def _generate(site: Opened, single: Single, terminal: Terminal, *, wait: bool) -> int:
    order, translated = order_of(site.resources, single, user_id=site.settings.user)
    require_lane(site.settings, order.provider)
    plan = prepare(site.resources, order)
    for said in (*translated, *plan.warnings):
        terminal.note(f"note: {said}")
    written = commit(site.resources, plan)
    for said in written.warnings:
        terminal.note(f"note: {said}")
    if wait:
        _watch(site, written.batch_id, terminal)
    (details,) = generations.page(site.resources, Wanted(batch_id=written.batch_id, user_id=order.user_id))
    terminal.document({**document(site.resources, details), "stages": stages_of(details), "translated": translated})
    terminal.show(*_stage_lines(details), *whole(site.resources, details))
    return OK if not wait or details.generation["state"] == GenerationState.COMPLETED else ENDED_OTHERWISE


def _watch(site: Opened, batch_id: BatchId, terminal: Terminal) -> None:
    found = status.of_batch(site.resources, batch_id)
    checks = found.batch.character_id is not None or bool(found.progress.counts[GenerationState.PREPARING])
    brings = is_embedded(read_settings())
    with crew_of_command(site, terminal, checks=checks, brings=brings) as tend:
        watch = Watch(site.resources, batch_id, terminal, tend=tend, brings_workers=brings)
        watch_batches(site.resources, [watch], terminal, user=site.settings.user)


def _stage_lines(details: GenerationDetails) -> list[str]:
    return [
        f"{one['name']:<12} {one['outcome']:<10} {one['took_ms'] or 0:>8.0f} ms  {one['cost_usd']} USD"
        for one in stages_of(details)
        if one["outcome"] != "off"
    ]
