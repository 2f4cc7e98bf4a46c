"""One paid call for words on behalf of a stage: money set aside, asked once, booked, and its answer kept.

An answer that is kept is used again after a death and never paid for again. A call whose reply is lost is in doubt:
nobody asks again, and the stage goes another way.
"""

import logging
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from db.moves import submission, words
from db.moves.words import Earlier, NewCall
from db.reads.work import Lease
from domain.errors import LostRace, MaybeSent, ProviderError
from domain.ids import AttemptId
from domain.preparation import Known
from domain.states import AttemptKind, AttemptState, Outcome
from pipeline.attempts.claims import KEEP_TRYING_S
from pipeline.resources import Resources, Words
from providers.openai.words import Answer, Ended, Question
from providers.registry import WORDS
from providers.transport.clock import running_s

log = logging.getLogger(__name__)

#: The lane and the provider in the books; it makes no pictures, so that nothing is admitted to it.
LANE: Final = WORDS
_TRIES: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a call came to.

    Args:
        content: the JSON; None where there is none.
        why: one word where there is none: `refused`, `truncated`, `unreadable`, `in_doubt`, `over_budget`, or the code
            of a failure.
        detail: for the stage's record.
    """

    content: Any
    why: str | None
    cost_usd: Decimal
    detail: dict[str, Any]


def tell(resources: Resources, known: Known, kind: AttemptKind, question: Question) -> Told:
    """Ask for words, at most once as far as anybody can know.

    Raises:
        ProviderError: refused for now, and nothing was paid: the stage is tried again after a while.
    """
    client = resources.words
    if client is None:
        return Told(content=None, why="no_key", cost_usd=Decimal(0), detail={"ended": "no_key"})
    with resources.database.transaction() as connection:
        before = words.earlier(connection, known.generation_id, kind)
    if (kept := _kept(before, client)) is not None:
        return kept
    lease = resources.leases.new()
    begin_by = running_s() + min(resources.timing.intent_to_post.total_seconds(), resources.leases.seconds / 2)
    call = NewCall(
        generation_id=known.generation_id,
        kind=kind,
        lane=LANE,
        provider=LANE,
        model=client.model,
        said=question.text,
        hold_usd=client.most_usd(question),
    )
    with resources.database.transaction() as connection:
        attempt_id = words.begin(connection, call, lease=lease)
    if attempt_id is None:
        return _nothing("over_budget", client)
    resources.fault_points.reach("word_calls.intent")
    with resources.leases.held(lease):
        try:
            answer = client.ask(question, begin_by=begin_by)
        except ProviderError as failure:
            return _failed(resources, attempt_id, lease, failure, number=1 if before is None else before.number + 1)
        resources.fault_points.reach("word_calls.answered")
        return _book(resources, attempt_id, lease, answer, held=call.hold_usd)


def _kept(before: Earlier | None, client: Words) -> Told | None:
    """What an earlier call of the kind says about another one; None where it may be made."""
    if before is None:
        return None
    if before.state is not AttemptState.FINISHED:
        # Its worker died between intent and answer, or its reply was lost: asking again might pay twice.
        return _nothing("in_doubt", client)
    if before.outcome is Outcome.COMPLETED:
        return _told(before.result, before.charged_usd or Decimal(0))
    if before.result.get("settled") or before.charged_usd is not None:
        return _nothing("in_doubt", client)
    return None


def _failed(resources: Resources, attempt_id: AttemptId, lease: Lease, failure: ProviderError, *, number: int) -> Told:
    client = resources.words
    assert client is not None
    try:
        if isinstance(failure, MaybeSent):
            resources.database.insist(
                lambda connection: submission.doubt(connection, attempt_id, token=lease.token, failure=failure),
                seconds=KEEP_TRYING_S,
            )
            return _nothing("in_doubt", client, said=str(failure))
        resources.database.insist(
            lambda connection: words.refused(connection, attempt_id, token=lease.token, failure=failure),
            seconds=KEEP_TRYING_S,
        )
    except LostRace:
        log.warning("call %s for words was settled by somebody else: %s", attempt_id, failure)
        return _nothing("in_doubt", client, said=str(failure))
    if failure.retryable and number < _TRIES:
        raise failure
    return _nothing(failure.code, client, said=str(failure))


def _book(resources: Resources, attempt_id: AttemptId, lease: Lease, answer: Answer, *, held: Decimal) -> Told:
    client = resources.words
    assert client is not None
    result = {
        "ended": answer.ended.value,
        "content": answer.content,
        "said": answer.said,
        "tokens": dict(answer.tokens),
        "call": answer.call_id,
        "model": client.model,
    }
    charged = held if answer.charged_usd is None else answer.charged_usd
    said_by = "no tokens counted: the whole hold" if answer.charged_usd is None else "tokens counted by the reply"
    try:
        resources.database.insist(
            lambda connection: words.answered(
                connection, attempt_id, token=lease.token, result=result, charged_usd=charged, said_by=said_by
            ),
            seconds=KEEP_TRYING_S,
        )
    except LostRace:
        log.warning("the answer of call %s came after its lease; it stays in doubt", attempt_id)
        return _nothing("in_doubt", client)
    resources.fault_points.reach("word_calls.stored")
    return _told(result, charged)


def _told(result: Any, charged: Decimal) -> Told:
    ended = Ended(result["ended"])
    detail = {"model": result["model"], "call": result["call"], "tokens": result["tokens"], "ended": ended.value}
    if result["said"]:
        detail["said"] = result["said"]
    why = None if ended is Ended.ANSWERED else ended.value
    return Told(content=result["content"], why=why, cost_usd=charged, detail=detail)


def _nothing(why: str, client: Words, *, said: str = "") -> Told:
    detail = {"model": client.model, "ended": why} | ({"said": said[:500]} if said else {})
    return Told(content=None, why=why, cost_usd=Decimal(0), detail=detail)
