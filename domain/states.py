"""The states of a generation and of an attempt, and the one table of moves.

`docs/state-machine.md` is drawn from this table, `db.moves` builds its statements from it, and the
CHECK constraints of the tables are written from it. Nothing else decides what may follow what.
"""

from enum import StrEnum


class GenerationState(StrEnum):
    """Where a generation stands."""

    PREPARING = "preparing"  # the stages before the picture (analysis, enhancement, persona, routing) are at work
    QUEUED = "queued"  # waits in Postgres for a slot and for money
    ADMITTED = "admitted"  # has an attempt, a hold and a slot; its task is published
    SUBMITTING = "submitting"  # the intent is written; the request may be on its way
    IN_DOUBT = "in_doubt"  # the request may have arrived; its reply is lost
    GENERATING = "generating"  # the provider has accepted the job
    COLLECTING = "collecting"  # the provider is done; pictures are being fetched and stored
    VALIDATING = "validating"  # pictures are stored; the GPU queue owes verdicts
    COMPLETED = "completed"  # final: stored, and passed where there was something to pass
    REJECTED = "rejected"  # final: stored, and no picture passed
    FAILED = "failed"  # final: no picture; `error_code` says why
    CANCELED = "canceled"  # final: a person said so


S = GenerationState

MOVES: dict[GenerationState, frozenset[GenerationState]] = {
    S.PREPARING: frozenset({S.QUEUED, S.FAILED, S.CANCELED}),
    # To a job only where one turns up of an attempt whose doubt had been settled as lost.
    S.QUEUED: frozenset({S.ADMITTED, S.GENERATING, S.COLLECTING, S.FAILED, S.CANCELED}),
    # To `rejected` from anywhere where pictures of an earlier try were judged, and the further try failed.
    S.ADMITTED: frozenset({S.SUBMITTING, S.QUEUED, S.REJECTED, S.FAILED, S.CANCELED}),
    S.SUBMITTING: frozenset(
        {S.GENERATING, S.COLLECTING, S.IN_DOUBT, S.ADMITTED, S.QUEUED, S.REJECTED, S.FAILED, S.CANCELED}
    ),
    S.IN_DOUBT: frozenset({S.GENERATING, S.COLLECTING, S.QUEUED, S.REJECTED, S.FAILED, S.CANCELED}),
    S.GENERATING: frozenset({S.COLLECTING, S.QUEUED, S.REJECTED, S.FAILED, S.CANCELED}),
    S.COLLECTING: frozenset({S.VALIDATING, S.COMPLETED, S.QUEUED, S.REJECTED, S.FAILED, S.CANCELED}),
    S.VALIDATING: frozenset({S.COMPLETED, S.REJECTED, S.QUEUED, S.FAILED, S.CANCELED}),
    # By a person, or by a new threshold version; each leaves a history row. To `validating` where the check is what
    # failed: its pictures are paid and stored.
    S.COMPLETED: frozenset({S.REJECTED}),
    S.REJECTED: frozenset({S.COMPLETED, S.QUEUED}),
    # To `preparing` where they had no prompt yet.
    S.FAILED: frozenset({S.PREPARING, S.QUEUED, S.VALIDATING}),
    S.CANCELED: frozenset({S.PREPARING, S.QUEUED}),
}

FINAL = frozenset({S.COMPLETED, S.REJECTED, S.FAILED, S.CANCELED})

PUBLIC_STATUS: dict[GenerationState, str] = {
    state: (
        "pending"
        if state in {S.PREPARING, S.QUEUED}
        else "completed"
        if state is S.COMPLETED
        else "failed"
        if state in FINAL
        else "processing"
    )
    for state in GenerationState
}


def sources_of(target: GenerationState) -> frozenset[GenerationState]:
    """Every state from which `target` may be reached in one move."""
    return frozenset(state for state, onward in MOVES.items() if target in onward)


class AttemptState(StrEnum):
    """Where an attempt stands; the live ones carry the same word as their generation."""

    ADMITTED = "admitted"
    SUBMITTING = "submitting"
    IN_DOUBT = "in_doubt"
    GENERATING = "generating"
    COLLECTING = "collecting"
    VALIDATING = "validating"
    FINISHED = "finished"


LIVE = frozenset(state for state in AttemptState if state is not AttemptState.FINISHED)

#: Attempts that occupy one of the provider's places: collecting and validating are our own business.
IN_FLIGHT = frozenset({AttemptState.ADMITTED, AttemptState.SUBMITTING, AttemptState.IN_DOUBT, AttemptState.GENERATING})


class AttemptKind(StrEnum):
    """What an attempt is for; of each kind but the late ones, a generation has one live attempt at most."""

    IMAGE = "image"  # should become the generation's picture, and decides about it
    VISION = "vision"  # a model looks at a picture, for the specification
    TEXT = "text"  # a model writes, for the prompt
    FINISH = "finish"  # makes an accepted picture larger, or removes its background
    LATE = "late"  # its job turned up when its generation had gone on without it: paid, kept, and decides nothing


class Outcome(StrEnum):
    """What became of a finished attempt."""

    COMPLETED = "completed"
    REJECTED = "rejected"
    FAILED = "failed"
    CANCELED = "canceled"
    GIVEN_BACK = "given_back"  # no try of the generation, which is queued again: not sent, or failed in an outage


class HoldState(StrEnum):
    """What became of the money set aside for an attempt."""

    HELD = "held"
    IN_DOUBT = "in_doubt"
    CHARGED = "charged"
    RELEASED = "released"


class LedgerKind(StrEnum):
    """One line of the books."""

    HOLD = "hold"
    DOUBT = "doubt"
    CHARGE = "charge"
    RELEASE = "release"
