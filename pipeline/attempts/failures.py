"""Settle a failed step: gather the facts, have `domain.disposition` decide, have `db.moves.failures` write it down."""

import logging
from typing import Any, Final

from db.moves import failures
from db.reads.work import Work
from domain.disposition import Becomes, Disposition, Facts, Step
from domain.errors import LikenessError
from domain.ids import LeaseToken
from pipeline.attempts import account_blocks, illegal_prompts
from pipeline.attempts.outcome import Again
from pipeline.resources import Resources

log = logging.getLogger(__name__)

#: A process has read the row before the try is counted in it.
_READ_BEFORE: Final = frozenset({Step.SUBMITTING, Step.LOOKING})


def settle(
    resources: Resources,
    work: Work,
    failure: LikenessError,
    *,
    step: Step,
    token: LeaseToken | None,
    insist_s: float = 0.0,
    **known: Any,
) -> Again | None:
    """Write what becomes of `work` after `failure`; what the step tells its task, where the step is repeated.

    Args:
        token: of the lease under which the step worked; None where it holds none.
        insist_s: how long to keep trying while Postgres is away, for what this process alone knows.
        known: further fields of `Facts`.

    Raises:
        LostRace: the attempt has moved on; nothing is written.
        DatabaseAway: Postgres is away for longer than `insist_s`.
    """
    resources.traces.failed(failure)
    facts = Facts(**{**_facts(resources, work, step), **known})
    decided = resources.database.insist(
        lambda connection: failures.settle(connection, work, failure=failure, facts=facts, token=token),
        seconds=insist_s,
    )
    _tell(work, decided)
    illegal_prompts.close_when_full(resources, work.lane, failure)
    account_blocks.note(resources, work.lane, failure)
    if decided.ends_process:
        resources.retire(failure)
    repeats = decided.becomes in {Becomes.REPEATED, Becomes.RELEASED}
    return Again(decided.wait) if repeats and decided.wait is not None else None


def _facts(resources: Resources, work: Work, step: Step) -> dict[str, Any]:
    timing = resources.timing
    allowed = {
        Step.SUBMITTING: timing.submit_tries,
        Step.COLLECTING: timing.collect_tries,
        Step.VALIDATING: timing.validate_tries,
    }
    return {
        "step": step,
        "tries": work.step_tries + (1 if step in _READ_BEFORE else 0),
        "tries_allowed": allowed.get(step, 1),
        "generation_tries": work.tries_since_verdict,
        "generation_tries_allowed": timing.generation_tries,
        "number": work.number,
        "jitter": resources.jitter(),
    }


def _tell(work: Work, decided: Disposition) -> None:
    if (closing := decided.closes_lane) is not None:
        log.warning("lane %s is closed for %.0f s: %s", work.lane, closing.wait.total_seconds(), closing.reason)
    level = logging.INFO if decided.becomes is Becomes.SILENT else logging.WARNING
    wait = "" if decided.wait is None else f" for {decided.wait.total_seconds():.0f} s"
    log.log(level, "attempt %s is %s%s: %s", work.attempt_id, decided.becomes, wait, decided.failure)
