"""Requests that spend become orders: translated, planned, held against the key's money, and enqueued once."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from fastapi import Request

from api.callers import Caller, ScopeRequired
from domain.errors import BadInput, UnknownThing
from domain.escalation import read_steps, try_policy_of
from domain.ids import BatchId
from domain.money import read_limit
from pipeline.intake import plan
from pipeline.intake.commit import Enqueued, commit
from pipeline.intake.findings import Findings
from pipeline.intake.order import Order
from pipeline.intake.plan import Plan
from pipeline.intake.prompt_rows import PromptRow
from pipeline.intake.single import Single, in_todays_words, order_of, usual_provider
from pipeline.operator import events, kept_answers, keys, webhook_delivery
from pipeline.operator.keys import KeyRow
from pipeline.resources import Resources
from pipeline.views import team
from providers import setting_words
from providers.catalogue import load
from providers.transport.outgoing import check_url, new_secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a request asks for, in the words of the wire.

    Args:
        name: of the batch.
        settings: as the request has them; the provider's word among them.
        rows: the prompts, taken once.
        webhook_url: told of what happens, or None.
        findings: where whoever reads the rows notes their oddities.
    """

    name: str
    user_id: str
    rows: Iterable[PromptRow]
    settings: Mapping[str, Any]
    character: str | None = None
    max_cost_usd: str | None = None
    max_image_cost_usd: str | None = None
    priority: int | None = None
    max_tries: int | None = None
    escalate: str | None = None
    webhook_url: str | None = None
    findings: Findings = field(default_factory=Findings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A wish that could be carried out.

    Args:
        translated: a sentence for each word that was taken for another.
    """

    plan: Plan
    translated: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A wish that was carried out.

    Args:
        webhook_secret: signs what is sent to the wish's address; None without one.
    """

    batch_id: BatchId
    enqueued: Enqueued
    limit_usd: Decimal | None
    webhook_secret: str | None


def prepare(resources: Resources, caller: Caller, wish: Wish) -> Prepared:
    """Translate, check and price a wish; nothing is written.

    Raises:
        RequestError: it cannot be carried out as it is.
        ServiceMissing: nobody here serves the provider.
    """
    catalogue = load()
    if wish.webhook_url is not None:
        check_url(wish.webhook_url)
    try:
        provider = usual_provider(resources)
        chosen = setting_words.chosen(catalogue, wish.settings, negative_prompt=None, provider=provider)
        prepared = plan.prepare(resources, _order(caller, wish, chosen), catalogue=catalogue)
    except UnknownThing as failure:
        # A model or a character in the body, and not what the address names.
        raise BadInput(str(failure)) from failure
    return Prepared(plan=prepared, translated=chosen.translated)


def prepare_single(
    resources: Resources, caller: Caller, single: Single, *, user_id: str, webhook_url: str | None
) -> Prepared:
    """The same for words, a picture or a specification that become one generation; no file of this machine is read.

    Raises:
        RequestError: it cannot be carried out as it is.
        ServiceMissing: nobody here serves the provider, or no model for words is set.
    """
    if webhook_url is not None:
        check_url(webhook_url)
    try:
        order, translated = order_of(resources, single, user_id=user_id)
        order = replace(order, team=caller.team, key_id=caller.key.id, folder=None)
        return Prepared(plan=plan.prepare(resources, order), translated=translated)
    except UnknownThing as failure:
        raise BadInput(str(failure)) from failure


def warnings(prepared: Prepared, placed: Placed) -> list[str]:
    """What is odd about a wish that was carried out, in sentences."""
    return [*prepared.plan.warnings, *placed.enqueued.warnings]


def place(resources: Resources, caller: Caller, prepared: Prepared, *, webhook_url: str | None) -> Placed:
    """Enqueue within what the key in whose month the batch counts may spend: the caller, or who made the batch before.

    A batch of a key with a limit always has a budget, the most that its rows can cost where none is named: budgets hold
    whatever happens, so the key's limit holds too.

    Raises:
        LimitTooSmall: the key's limit leaves no room for it.
        ScopeRequired: a key with a limit would spend in a batch of another key.
        LostRace: another key has made a batch of that name in this moment.
    """
    order = prepared.plan.order
    known = team.batch_named(resources, order.name, user_id=order.user_id, team=order.team)
    batch_id = None if known is None else known[0]
    payer = caller.key if known is None else require_own(resources, caller, known[1])
    with keys.money_of(resources, payer, but=batch_id) as room:
        limit = order.limit_usd
        if payer is not None and room is not None and batch_id is not None:
            keys.check_batch(resources, batch_id, limit, key=payer, room=room)
        elif payer is not None and room is not None:
            limit = limit or max(prepared.plan.at_most_usd, Decimal("0.01"))
            keys.check_room(room, limit, key=payer)
        by = events.actor_of(caller.key, user_id=order.user_id)
        order = replace(order, limit_usd=limit, key_id=None if payer is None else payer.id, by=by)
        written = commit(resources, replace(prepared.plan, order=order))
    secret = None
    if webhook_url is not None:
        secret = webhook_delivery.subscribe(
            resources, written.batch_id, team=order.team, url=webhook_url, new_secret=new_secret()
        )
    return Placed(batch_id=written.batch_id, enqueued=written, limit_usd=order.limit_usd, webhook_secret=secret)


def require_own(resources: Resources, caller: Caller, made_by: UUID | None) -> KeyRow | None:
    """The key in whose month a batch counts; a key with a limit spends in its own batches alone.

    What it spent in others would not count against its limit.

    Raises:
        ScopeRequired: the caller has a limit, and the batch was made by somebody else.
    """
    if caller.key.limit_usd is not None and made_by != caller.key.id:
        raise ScopeRequired(f"key {caller.key.name!r} has a limit of its own and spends in its own batches alone")
    return keys.owner(resources, made_by)


def once(
    request: Request, resources: Resources, caller: Caller, work: Callable[[], Mapping[str, Any]]
) -> tuple[Mapping[str, Any], bool]:
    """Carry out what a request asks for, or give the answer that is kept where its `Idempotency-Key` came before.

    Returns:
        The answer, and whether a key was named.

    Raises:
        BadInput: the header is too long or not printable.
    """
    named = request.headers.get("Idempotency-Key")
    if named is None:
        return work(), False
    if not 0 < len(named) <= kept_answers.LONGEST_KEY or not named.isprintable():
        raise BadInput(f"an Idempotency-Key has 1 to {kept_answers.LONGEST_KEY} printable characters")
    return kept_answers.once(resources, caller.key, named, request=request.state.request, work=work), True


def name_of(request: Request, caller: Caller) -> str:
    """A name for the batch of a single prompt: the same for a request that is repeated, so that it is made once."""
    named = request.headers.get("Idempotency-Key")
    if named is None:
        return f"prompt-{uuid4().hex[:16]}"
    content = f"{caller.key.id}\n{named}\n".encode() + request.state.request
    return f"prompt-{hashlib.sha256(content).hexdigest()[:16]}"


def _order(caller: Caller, wish: Wish, chosen: setting_words.Chosen) -> Order:
    escalate = None if wish.escalate is None else read_steps(wish.escalate)
    most = None if wish.max_image_cost_usd is None else read_limit(wish.max_image_cost_usd, what="maxImageCostUsd")
    return Order(
        name=wish.name,
        user_id=wish.user_id,
        provider=chosen.provider,
        prompts=(in_todays_words(row, chosen, asked=wish.settings) for row in wish.rows),
        model=chosen.model,
        character=wish.character,
        settings=chosen.settings,
        limit_usd=None if wish.max_cost_usd is None else read_limit(wish.max_cost_usd, what="maxCostUsd"),
        max_image_cost=most,
        priority=wish.priority,
        whole_file=False,
        try_policy=try_policy_of(max_tries=wish.max_tries, escalate=escalate),
        team=caller.team,
        key_id=caller.key.id,
        findings=wish.findings,
    )
