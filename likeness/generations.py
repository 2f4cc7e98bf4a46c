"""Single generations for scripts: make one, look one up, list them page by page."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

from domain.access import LOCAL_TEAM
from domain.errors import BadInput
from domain.ids import BatchId
from domain.money import limit_of
from domain.states import GenerationState
from pipeline.intake.commit import commit
from pipeline.intake.plan import prepare
from pipeline.intake.single import Single, order_of
from pipeline.intake.stage_wishes import stage_wishes
from pipeline.resources import Resources
from pipeline.views import team
from pipeline.views.report import line_of
from pipeline.views.stages import stages_of
from pipeline.views.team import GenerationDetails, Page

log = logging.getLogger(__name__)

_MOST = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One generation, as it stands.

    Args:
        status: `pending`, `processing`, `completed` or `failed`; `state` is finer.
        prompt: as it is asked; a placeholder while nobody has written one.
        picture: the best picture's file, or None where there is none on this machine.
        url: where the original of that picture can be read, or None.
        stages: each with its name, outcome, milliseconds and cost, in the order in which they ran.
        translated: a sentence for each setting word that was taken for another; of `generate` alone.
    """

    id: UUID
    batch_id: BatchId
    user_id: str
    status: str
    state: str
    accepted: bool
    prompt: str
    provider: str
    model: str
    settings: Mapping[str, Any]
    cost_usd: Decimal
    picture: Path | None
    url: str | None
    stages: Sequence[Mapping[str, Any]]
    error: str | None
    created_at: datetime
    completed_at: datetime | None
    translated: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationPage:
    """Generations, the newest first, and where the next page begins; None behind the last."""

    generations: Sequence[Generation]
    cursor: str | None


def make(resources: Resources, single: Single, *, user_id: str) -> tuple[BatchId, str, Sequence[str]]:
    """Enqueue one generation: its batch, the batch's name, and what was taken for what.

    Raises:
        RequestError: something cannot be used; nothing was enqueued.
        ServiceMissing: a key is not set.
    """
    order, translated = order_of(resources, single, user_id=user_id)
    plan = prepare(resources, order)
    for warning in plan.warnings:
        log.warning("%s", warning)
    written = commit(resources, plan)
    for warning in written.warnings:
        log.warning("%s", warning)
    return written.batch_id, order.name, translated


def only_one_of(resources: Resources, batch_id: BatchId, *, translated: Sequence[str] = ()) -> Generation:
    """The generation of a batch that has one."""
    (details,) = team.generations_page(resources, Page(team=LOCAL_TEAM, batch_id=batch_id, limit=1))
    return generation_of(resources, details, translated=translated)


def find(resources: Resources, wanted: str) -> Generation:
    """The generation of that id.

    Raises:
        UnknownThing: there is none.
    """
    return generation_of(resources, team.generation(resources, LOCAL_TEAM, wanted))


def page(resources: Resources, *, user: str | None, limit: int, cursor: str | None) -> GenerationPage:
    """A page of generations.

    Raises:
        BadInput: a limit or a cursor that cannot be used.
    """
    if not 1 <= limit <= _MOST:
        raise BadInput(f"a page has 1 to {_MOST} generations, not {limit}")
    try:
        before = None if cursor is None else UUID(cursor)
    except ValueError:
        raise BadInput(f"{cursor!r} is no cursor; give the one of the page before") from None
    all_details = team.generations_page(resources, Page(team=LOCAL_TEAM, user_id=user, before=before, limit=limit))
    told = [generation_of(resources, details) for details in all_details]
    return GenerationPage(generations=told, cursor=str(told[-1].id) if len(told) == limit else None)


def generation_of(resources: Resources, details: GenerationDetails, *, translated: Sequence[str] = ()) -> Generation:
    row = details.generation
    best = line_of(resources, details).best
    return Generation(
        id=row["id"],
        batch_id=BatchId(row["batch_id"]),
        user_id=row["user_id"],
        status=row["status"],
        state=row["state"],
        accepted=row["state"] == GenerationState.COMPLETED,
        prompt=row["prompt"],
        provider=row["provider"],
        model=row["model"],
        settings=row["settings"],
        cost_usd=row["cost"],
        picture=best.path if best else None,
        url=best.url if best else None,
        stages=stages_of(details),
        error=row["error_message"] or row["error_code"],
        created_at=row["created_at"],
        completed_at=row["completed_at"],
        translated=translated,
    )


class Making(Protocol):
    """What a connection lends to the methods of this module."""

    resources: Resources

    @property
    def user(self) -> str: ...

    def finished(self, batch_id: BatchId, name: str, timeout: float | None) -> None: ...


def _limits(max_cost: Decimal | float | str | None, max_image_cost: Decimal | float | str | None) -> dict[str, Any]:
    each = limit_of(max_image_cost, what="max_image_cost")
    return {"limit_usd": limit_of(max_cost, what="max_cost"), "max_image_cost": each}


def _made(making: Making, single: Single, *, wait: bool, timeout: float | None) -> Generation:
    batch_id, name, translated = make(making.resources, single, user_id=making.user)
    if wait:
        making.finished(batch_id, name, timeout)
    return only_one_of(making.resources, batch_id, translated=translated)


class SingleGenerations:
    """The methods of a connection that are about single generations."""

    def generate(  # noqa: PLR0913 -- a script names each of its wishes as a keyword
        self: Making,
        prompt: str | None = None,
        *,
        image: str | Path | None = None,
        vlt: Mapping[str, Any] | None = None,
        negative_prompt: str | None = None,
        provider: str | None = None,
        model: str | None = None,
        settings: Mapping[str, Any] | None = None,
        character: str | None = None,
        max_cost: Decimal | float | str | None = None,
        analysis: str = "local",
        enhance: str | None = None,
        block: str | None = None,
        candidates: int = 4,
        persona: str | None = None,
        optimise: bool = True,
        max_image_cost: Decimal | float | str | None = None,
        wait: bool = True,
        timeout: float | None = None,
    ) -> Generation:
        """Make one picture from words, from a picture or from a specification.

        Args:
            image: a path or an http(s) address.
            vlt: a specification of garments, `{"records": [{"garmentType": ...}]}`.
            provider, settings: in today's words, or in those of the former service (`google-imagen`, `hd`, `square`).
            analysis: who looks at the picture: `local`, `llm` or `off`.
            enhance: who writes prompts: `off`, `local` or `llm`.
            block: kept word for word in every prompt.
            candidates: so many prompts to choose from.
            persona: whose taste adds words: a name, or `auto`.
            optimise: rank candidate prompts by what people have preferred.
            wait: until it is final, or `timeout` seconds at most.

        Raises:
            RequestError: something cannot be used; nothing was enqueued.
            ServiceMissing: a key is not set.
            TimeoutError: the time went by; the generation goes on wherever workers run.
        """
        single = Single(
            prompt=prompt,
            image=image,
            vlt=vlt,
            negative_prompt=negative_prompt,
            provider=provider,
            model=model,
            settings=dict(settings or {}),
            character=character,
            analysis=analysis,
            enhance=enhance,
            block=block,
            candidates=candidates,
            **_limits(max_cost, max_image_cost),
            more=stage_wishes(persona=persona, optimise=optimise),
        )
        return _made(self, single, wait=wait, timeout=timeout)

    def generation(self: Making, id: UUID | str) -> Generation:  # noqa: A002 -- the word of the owner's service
        """The generation of that id.

        Raises:
            UnknownThing: there is none.
        """
        return find(self.resources, str(id))

    def generations(
        self: Making, *, user: str | None = None, limit: int = 20, cursor: str | None = None
    ) -> GenerationPage:
        """Generations, the newest first.

        Args:
            user: whose; None for everybody's.
            cursor: of the page before.

        Raises:
            BadInput: a limit or a cursor that cannot be used.
        """
        return page(self.resources, user=user, limit=limit, cursor=cursor)
