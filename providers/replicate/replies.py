"""Reads Replicate's replies: predictions, lists of them and models' schemas; and writes a request down to be found.

What a failure means is in `providers.replicate.failures`.

Source: PROVIDERS.md 2, Replicate's OpenAPI text of 2026-04.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from domain.errors import JobTimedOut, KeyRefused, MaybeSent, ReplyUnreadable
from domain.ids import normalised
from providers.contract import Accepted, Made, Progress, Reply, Running
from providers.listed import ListedJob, ListedPage
from providers.replicate.failures import failure_of, refusal_of
from providers.transport.failure_text import failure_text
from providers.transport.reply_models import Moment, ReplyModel, Rows, Text, TextOrTexts, unix_time
from providers.transport.statuses import no_answer
from providers.webhooks import Told

_Answer = TypeVar("_Answer", bound=ReplyModel)

_DETAIL: Final = ("id", "model", "version", "input", "metrics", "created_at", "started_at", "completed_at", "urls")
_AT_WORK: Final = frozenset({"starting", "processing"})
#: How a prediction ended and whether it is billed, as `progress` books it. Of a failed one Replicate does not say.
#: Source: PROVIDERS.md 6, traps 9 and 14.
_BILLED: Final = {"succeeded": True, "canceled": True, "aborted": False}


class Prediction(ReplyModel):
    """One prediction: the answer to a create or a look, a row of the list, the body of a webhook."""

    id: Text = None
    model: Text = None
    status: Text = None
    error: Text = None
    logs: Text = None
    webhook: Text = None
    created_at: Moment = None
    output: TextOrTexts = ()
    input: Any = None
    data_removed: Any = None

    @property
    def sent(self) -> dict[str, Any]:
        return self.input if isinstance(self.input, dict) else {}

    @property
    def forgotten(self) -> bool:
        """Whether Replicate has deleted what was sent and made, as it does after an hour."""
        return self.data_removed is True


class Page(ReplyModel):
    results: Rows = None
    next: Text = None


class Secret(ReplyModel):
    key: Text = None


class FileUrls(ReplyModel):
    get: Text = None


class File(ReplyModel):
    urls: FileUrls = FileUrls()


class Model(ReplyModel):
    latest_version: Any = None


def check_answered(reply: Reply) -> None:
    """Raises the error of a reply to a call that may be repeated, where its status says that it is no answer."""
    if reply.status == 403:
        raise KeyRefused("Replicate answered 403: this token may not ask that")
    refused = refusal_of(reply) if reply.status in {401, 402, 429} else None
    if refused is not None or reply.status not in {200, 201, 202}:
        raise refused or no_answer(reply, "Replicate")


def answer_as(kind: type[_Answer], reply: Reply) -> _Answer:
    """The body of a call that may be repeated; raises `ProviderError` where this call said nothing."""
    check_answered(reply)
    body = kind.read(reply.content)
    if body is None:
        raise no_answer(reply, "Replicate")
    return body


def accepted(reply: Reply) -> Accepted:
    """The id of the prediction that a create made.

    Raises:
        ProviderError: a documented refusal, by its class.
        MaybeSent: anything that is neither an acceptance nor a documented refusal.
    """
    refused = refusal_of(reply)
    if refused is not None:
        raise refused
    job_id = (Prediction.read(reply.content) or Prediction()).id
    # 201 and 202 are documented; an id says the same under 200.
    if reply.status in {200, 201, 202} and job_id:
        return Accepted(job_id=job_id)
    raise MaybeSent(
        f"Replicate answered the submission with {reply.status} and nothing that says whether the job exists"
    )


def progress(reply: Reply) -> Progress:
    """Where the prediction is; raises as `Adapter.read_poll`."""
    found = answer_as(Prediction, reply)
    if found.status == "succeeded":
        return _made(found)
    if found.status == "failed":
        raise failure_of(found.error, model=found.model)
    if found.status == "canceled":
        why = "the prediction was cancelled after it had started; Replicate bills that and does not say how much"
        return Made(picture_urls=(), detail=found.excerpt(*_DETAIL), lost=why)
    if found.status == "aborted":
        raise JobTimedOut(failure_text("job_timed_out", code="aborted", message="it never started, and costs nothing"))
    if found.status is None:
        raise ReplyUnreadable("Replicate answered without a status")
    # Any word that Replicate may add: still running, until our own deadline.
    return Running(percent=_percent(found) if found.status in _AT_WORK else None)


def _made(found: Prediction) -> Made:
    """A finished prediction: one address, several, or none where everything of it was deleted after its hour."""
    lost = None
    if not found.output and found.forgotten:
        lost = "the prediction succeeded, and Replicate has deleted its output, as it does after an hour"
    # An output that is null for another reason may appear yet: whoever fetches the pictures asks again.
    return Made(picture_urls=found.output, detail=found.excerpt(*_DETAIL), lost=lost)


def _percent(found: Prediction) -> int | None:
    """From the last progress bar in the logs (`31%|███  | 4/13`), as Replicate's own client reads them."""
    bars = re.findall(r"^\s*(\d{1,3})%\s*\|", found.logs or "", re.MULTILINE)
    return min(100, int(bars[-1])) if bars else None


def named_job(content: bytes) -> str | None:
    """The prediction that a webhook's body names."""
    return (Prediction.read(content) or Prediction()).id


def told(reply: Reply) -> Told:
    """What a look tells of the request behind its prediction."""
    found = answer_as(Prediction, reply)
    return Told(prompt=_listed(found).prompt, hook_url=found.webhook)


def listing(reply: Reply, *, page: str | None) -> ListedPage:
    """A page of the list; `next_page` is the query of the next one's address, since the key goes to no other host."""
    body = answer_as(Page, reply)
    if body.results is None:
        raise ReplyUnreadable(failure_text("reply_unreadable", code="list", message="no list of predictions"))
    following = urlsplit(body.next or "").query or None
    if following == page and page is not None:
        raise ReplyUnreadable(failure_text("reply_unreadable", code="list", message="a page that is its own next"))
    return ListedPage(jobs=[_listed(Prediction.model_validate(row)) for row in body.results], next_page=following)


def _listed(found: Prediction) -> ListedJob:
    if not found.id:
        raise ReplyUnreadable("Replicate lists a prediction without an id")
    forgotten = found.forgotten or not found.sent
    return ListedJob(
        job_id=found.id,
        prompt=None if forgotten else request_text(found.model, found.sent),
        created_at=unix_time(found.created_at),
        status=found.status,
        billed=_BILLED.get(found.status or ""),
    )


def input_properties(reply: Reply) -> Mapping[str, Any]:
    """The inputs in the schema that Replicate publishes of a model."""
    found: Any = answer_as(Model, reply).latest_version
    for name in ("openapi_schema", "components", "schemas", "Input", "properties"):
        found = found.get(name) if isinstance(found, dict) else None
    if not isinstance(found, dict) or not {"prompt", "image"} & set(found):
        raise ReplyUnreadable("Replicate's description of the model has no schema of its input")
    return found


def secret(reply: Reply) -> str:
    key = answer_as(Secret, reply).key
    if key is None:
        raise ReplyUnreadable("Replicate answered without a webhook secret")
    return key


def request_text(model: str | None, sent: Mapping[str, Any]) -> str:
    """Model and input in one spelling: what Replicate's list shows of a prediction, and so what finds it there."""
    told = {"model": model, "input": _numbers(sent)}
    return json.dumps(told, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def resemble(sent: str, listed: str) -> bool:
    """Whether two requests agree in model and prompt; what the list does not say of them may be ours."""
    ours, theirs = json.loads(sent), json.loads(listed)
    wanted, found = _prompt_in(ours), _prompt_in(theirs)
    same_text = found is None or normalised(found) == normalised(wanted or "")
    return theirs["model"] in {None, ours["model"]} and same_text


def _prompt_in(request: Mapping[str, Any]) -> str | None:
    return Prompted.model_validate(request.get("input")).prompt


class Prompted(ReplyModel):
    prompt: Text = None


def _numbers(value: Any) -> Any:
    """`value` with whole numbers in one spelling: a service may echo 3.0 as 3, and 3 as 3.0."""
    if isinstance(value, Mapping):
        return {name: _numbers(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_numbers(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
