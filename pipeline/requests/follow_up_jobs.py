"""An attempt that carries a finished job further instead of asking for a fresh one: from its row to the `Action`.

Who decides for it writes `generations.changes`; admission copies that to `attempts.changes`, and there it says

    {"action": {"job_id": "...", "name": "variation2", "lane": "ttapi", "position": 1}}

`job_id` is a finished job of ours, `name` one of its `attempts.result["detail"]["components"]`, as the provider gave
them. `lane` is the one that the job is on, since no other account knows it: admission takes no other. `position` may
be left out where the name ends in the picture's number. The attempt is an ordinary one: hold, intent, doubt, charge.
"""

import re
from collections.abc import Mapping
from typing import Any

from db.reads import jobs
from db.reads.work import Work
from domain.errors import RequestRefused
from pipeline.resources import Resources
from providers.contract import Action


def action_of(resources: Resources, work: Work) -> Action | None:
    """What this attempt asks for instead of a fresh job, or None; nothing is sent.

    Raises:
        RequestRefused: the job is not ours or not done, is on another lane, or does not offer this.
    """
    wanted = work.changes.get("action")
    if wanted is None:
        return None
    job_id, name = str(wanted.get("job_id") or ""), str(wanted.get("name") or "")
    with resources.database.transaction() as connection:
        parent = jobs.done(connection, provider=work.provider, job_id=job_id)
    if parent is None:
        raise RequestRefused(f"job {job_id!r} can't be carried further: no attempt of ours has finished it")
    if parent.lane != work.lane:
        raise RequestRefused(f"job {job_id!r} is known to lane {parent.lane!r} alone, not to {work.lane!r}")
    offered = [str(one) for one in parent.detail.get("components") or ()]
    if name not in offered:
        raise RequestRefused(f"job {job_id!r} does not offer {name!r}; it offers {', '.join(offered) or 'nothing'}")
    return Action(job_id=job_id, name=name, position=_position(wanted, name), parent_text=parent.sent_prompt)


def _position(wanted: Mapping[str, Any], name: str) -> int:
    said = wanted.get("position")
    if isinstance(said, int):
        return said
    numbered = re.fullmatch(r"(?:upsample|variation)([1-4])", name)
    return int(numbered[1]) - 1 if numbered else 0
