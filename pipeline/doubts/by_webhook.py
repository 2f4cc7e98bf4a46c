"""Jobs that webhooks or people named for attempts in doubt: fetched, and believed only if they show our own request.

What is proven here is adopted by `pipeline.doubts.by_person`; a webhook alone adopts nothing, and a person has to say
so.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from db.moves import doubts, webhooks
from db.reads.work import Work
from domain.errors import BadInput, ProviderError, ServiceMissing
from domain.ids import AttemptId, normalised
from pipeline.resources import Resources
from providers.contract import Lane
from providers.webhooks import Told

log = logging.getLogger(__name__)

#: Whoever holds a token may name any number of jobs; so many of them are fetched in a round.
_MOST: Final = 4
_MOST_SHOWN: Final = 300
_UNCHECKED: Final = "check the id, or say --unchecked if you know better"


def proven(resources: Resources, lane: Lane, works: Sequence[Work]) -> dict[AttemptId, str]:
    """For each of these attempts, a job that a webhook named and that shows its very request."""
    with resources.database.transaction() as connection:
        named = webhooks.candidates(connection, [work.attempt_id for work in works])
    return dict(_proven(resources, lane, [work for work in works if work.attempt_id in named], named))


def _proven(
    resources: Resources, lane: Lane, works: Sequence[Work], named: Mapping[AttemptId, Sequence[str]]
) -> Iterator[tuple[AttemptId, str]]:
    taken: set[str] = set()
    for work in works:
        for job_id in named[work.attempt_id][:_MOST]:
            if job_id not in taken and _is_ours(resources, lane, work, job_id):
                taken.add(job_id)
                yield work.attempt_id, job_id
                break


def _is_ours(resources: Resources, lane: Lane, work: Work, job_id: str) -> bool:
    try:
        told = lane.told_by(job_id)
    except ProviderError as failure:
        log.info("job %s, named for attempt %s, could not be fetched: %s", job_id, work.attempt_id, failure)
        return False
    if told is None or not shows(told, work):
        log.warning("job %s, named for attempt %s, shows another request than ours", job_id, work.attempt_id)
        return False
    if told.hook_url is not None:
        return True
    with resources.database.transaction() as connection:
        # Without a word of our own in it, the job may be that of an attempt whose id is not stored yet.
        return not doubts.identical_is_submitting(connection, work)


def shows(told: Told, work: Work) -> bool:
    """Whether the job was made by the submission of this very attempt.

    The token in the address that the job calls back is unguessable and was sent in no other submission, and the job is
    on our own account. Where the service does not tell the address, the request itself must be the same.
    """
    if told.hook_url is not None:
        return told.hook_url.rpartition("/")[2] == work.token
    if told.prompt is None or work.sent_prompt is None:
        return False
    return normalised(told.prompt) == normalised(work.sent_prompt)


def check(resources: Resources, work: Work, job_id: str) -> None:
    """Whether a job that a person named was made by the submission of this attempt.

    A slip of the hand would give the attempt no job at all, or that of another doubt, which would then be proven absent
    and paid again.

    Raises:
        BadInput: the job is another attempt's, cannot be fetched, or shows another request; the sentence says which.
        ServiceMissing: there is no key for the lane here, so that nobody can be asked.
    """
    with resources.database.transaction() as connection:
        if doubts.owned(connection, work.lane, [job_id]):
            raise BadInput(f"job {job_id!r} belongs to another attempt already")
    lane = resources.lanes.get(work.lane)
    if lane is None:
        raise ServiceMissing(f"there is no key for lane {work.lane!r} here to fetch job {job_id!r} with; {_UNCHECKED}")
    try:
        told = lane.told_by(job_id)
    except ProviderError as failure:
        raise BadInput(f"job {job_id!r} cannot be fetched ({failure}); {_UNCHECKED}") from failure
    if told is None or not shows(told, work):
        raise BadInput(f"job {job_id!r} {_seen(told, work)}; {_UNCHECKED}")


def _seen(told: Told | None, work: Work) -> str:
    if told is None or (told.prompt is None and told.hook_url is None):
        return "does not say what it was made for"
    if told.prompt is not None and normalised(told.prompt) == normalised(work.sent_prompt or ""):
        return "has our text and calls back for another attempt"
    return f"was made for {_cut(told.prompt)}, and attempt {work.attempt_id} has sent {_cut(work.sent_prompt)}"


def _cut(text: str | None) -> str:
    """Long enough to tell two prompts apart."""
    if text is None:
        return "another submission"
    return repr(text) if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]!r}..."
