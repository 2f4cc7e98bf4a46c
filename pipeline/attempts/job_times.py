"""When a job is looked at, and when it counts as overdue: what its row or batch says, else the settings, else its kind.

An overdue job is named to people and still asked about, since it was paid for.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from db.reads.work import Work
from pipeline.resources import Resources
from providers.contract import Lane
from providers.setting_values import OVERDUE_AFTER, POLL_EVERY

#: A lane that this process does not know: as long as most jobs take.
_EXPECTED: Final = timedelta(minutes=5)


def first_look(resources: Resources, lane: Lane, work: Work) -> timedelta:
    """How long after its submission a job is first asked about."""
    usual = lane.first_look_after(work.settings, model=work.model)
    wished = poll_every(resources, work)
    return usual if wished is None else min(usual, wished)


def deadline(resources: Resources, lane: Lane | None, work: Work) -> timedelta:
    """How long after its submission a job is overdue."""
    wished = _seconds(work.settings, OVERDUE_AFTER) or resources.timing.job_overdue
    if wished is not None:
        return wished
    expected = _EXPECTED if lane is None else lane.first_look_after(work.settings, model=work.model)
    return expected * 2 + resources.timing.job_deadline


def poll_every(resources: Resources, work: Work) -> timedelta | None:
    """The time between two looks; None for a schedule by the job's age, which asks less often and finds out as soon."""
    return _seconds(work.settings, POLL_EVERY) or resources.timing.poll_every


def _seconds(settings: Mapping[str, Any], name: str) -> timedelta | None:
    said = settings.get(name)
    return timedelta(seconds=int(said)) if said else None
