"""The person of a crash run: gives batches up, raises limits, and settles by the bill what no list can tell."""

import random
from decimal import Decimal
from typing import Any

from sqlalchemy import select

from db.schema import attempts
from domain.access import LOCAL_TEAM
from domain.errors import BadInput, UnknownThing
from pipeline.doubts import by_person
from pipeline.operator import batch_control, limits
from pipeline.operator.limits import lane_day, user_month
from pipeline.resources import Resources
from pipeline.views import status
from tests.crash.wires import OPENAI, WIRES

#: Of the person in whose name everything is enqueued: a few calls at a time, whatever they are.
_MONTH_USD = Decimal("2.50")


def settle_what_nobody_lists(resources: Resources, bill: dict[str, Any], *, left: int) -> int:
    """Settle the oldest doubts at OpenAI, all but `left` of them; returns how many.

    Prompts are told apart by their words, so a job on the bill is the attempt's whose prompt it has.
    """
    found = [one for one in by_person.list_doubts(resources, user_id="local") if one.work.provider == OPENAI.provider]
    settled = 0
    for doubt in found[: max(0, len(found) - left)]:
        with resources.database.transaction() as connection:
            owned = set(
                connection.execute(select(attempts.c.job_id).where(attempts.c.lane == doubt.work.lane)).scalars()
            )
        jobs = [
            job
            for job in bill["jobs"]
            if job["provider"] == OPENAI.billed_as and job["prompt"] == doubt.work.prompt and job["job_id"] not in owned
        ]
        try:
            if jobs:
                amount = Decimal(jobs[0]["charged_usd"])
                by_person.settle_as_paid(resources, doubt.work.attempt_id, job_id=jobs[0]["job_id"], amount_usd=amount)
            else:
                by_person.settle_as_lost(resources, doubt.work.attempt_id)
        except (BadInput, UnknownThing):
            continue  # settled by itself meanwhile
        settled += 1
    return settled


def cancel_one(resources: Resources, luck: random.Random) -> int:
    """Give up one of the batches that are at work, if there is one; returns how many."""
    at_work = [one for one in status.latest(resources, user_id="local", limit=5) if one.progress.live]
    if not at_work:
        return 0
    batch_control.cancel(resources, luck.choice(at_work).batch.id)
    return 1


def limit_spending(resources: Resources) -> None:
    """A month for the user and a day for each lane, all of them so small that they are soon reached."""
    limits.set_limit(resources, user_month(LOCAL_TEAM, "local"), _MONTH_USD)
    for wire in WIRES:
        limits.set_limit(resources, lane_day(wire.provider), wire.tight_usd)


def raise_a_limit(resources: Resources, luck: random.Random) -> int:
    """Allow as much again under one of the limits, so that the run goes on; returns how many."""
    steps = {user_month(LOCAL_TEAM, "local"): _MONTH_USD} | {lane_day(one.provider): one.tight_usd for one in WIRES}
    cap = luck.choice(limits.list_limits(resources))
    of = (cap.scope, cap.team, cap.subject)
    limits.set_limit(resources, of, cap.limit + steps[of])
    return 1
