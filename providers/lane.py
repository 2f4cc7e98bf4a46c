"""Opens a lane: one account with a service, an adapter and the connections behind one face.

Nothing here repeats a submission, waits, or knows of limits; those belong to whoever holds the lane.
"""

import base64
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from domain.errors import ProviderDown, ReplyUnreadable
from providers.adapter import Adapter
from providers.catalogue import load
from providers.contract import Accepted, AccountInfo, Ask, Call, Delivered, Progress, Reply
from providers.listed import ListedPage
from providers.transport.fetch import PictureFetcher
from providers.transport.http import Sender, checked_base_url, checked_key
from providers.transport.http_dates import served_at
from providers.transport.reply_models import ReplyModel, Text
from providers.transport.signatures import EVENT_ID, Signatures
from providers.webhooks import Notice, Told, Unproven, can_call_back

UPLOAD_TRIES = 3
#: What a service says about a model changes rarely; a long-lived process asks again after this.
REMEMBERED_S = 300.0

_Answer = TypeVar("_Answer")


class _Uploaded(ReplyModel):
    url: Text = None


class HttpLane:
    """Implements `providers.contract.Lane` over HTTP. Thread-safe; open it after a fork, close it at the end.

    Args:
        name: the lane's own, its provider's or like `ttapi-2`.
        base_url: of the service; a trailing `/v1` is tolerated.
        key: proves the account, goes to `base_url` and nowhere else, and is in no message and no repr.
        uploads_url: a stand-in's address that keeps files (`PUT /_sandbox/files`); None where the service has none.
        first_look: instead of the adapter's own, for a service that is faster than the real one.
        webhook_secret: of a wire that signs its webhooks; None for the one that the service itself tells.
    """

    def __init__(  # noqa: PLR0913 -- what makes an account, each by its name
        self,
        name: str,
        provider: str,
        *,
        adapter: Adapter,
        base_url: str,
        key: str,
        uploads_url: str | None = None,
        first_look: timedelta | None = None,
        webhook_secret: str | None = None,
    ) -> None:
        self.name = name
        self.provider = provider
        self.submit_total_s = adapter.submit_total_s
        self.synchronous = adapter.synchronous
        self._adapter = adapter
        self._first_look = first_look
        self._answers: dict[str, tuple[float, Any]] = {}
        key = checked_key(key, name=f"the key of lane {name!r}")
        self._sender = Sender(base_url, headers=adapter.auth_headers(key), secrets=(key,))
        self._uploads = Sender(uploads_url) if uploads_url is not None else None
        host = urlsplit(checked_base_url(base_url)).hostname or ""
        self._pictures = PictureFetcher(own_host=host)
        signs = adapter.build_secret() is not None
        self._signatures = Signatures(self._secret, known=webhook_secret) if signs else None

    def prompt_text(self, ask: Ask) -> str:
        return self._adapter.prompt_text(ask)

    def check(self, ask: Ask) -> None:
        self._submission(ask)

    def submit(self, ask: Ask) -> Accepted | Delivered:
        if ask.hook_url is not None and not can_call_back(self._sender.base_url, ask.hook_url):
            ask = replace(ask, hook_url=None)
        reply = self._sender.send(self._submission(ask), begin_by=ask.begin_by)
        return self._adapter.read_submit(reply) if ask.action is None else self._adapter.read_action(reply, ask)

    def _submission(self, ask: Ask) -> Call:
        return self._adapter.build_submit(ask) if ask.action is None else self._adapter.build_action(ask)

    def poll(self, job_id: str) -> Progress:
        return self._adapter.read_poll(self._fetch(job_id))

    def _fetch(self, job_id: str) -> Reply:
        call = self._adapter.build_poll(job_id)
        if call is None:
            raise ReplyUnreadable(f"{self.provider!r} has no jobs that could be asked about")
        return self._sender.send(call)

    @property
    def list_parts(self) -> Sequence[str]:
        return self._adapter.list_parts

    def listed_jobs(self, *, part: str, page: str | None = None) -> ListedPage | None:
        call = self._adapter.build_fetch_list(part=part, page=page)
        if call is None:
            return None
        reply = self._sender.send(call)
        return replace(self._adapter.read_fetch_list(reply, page=page), served_at=served_at(reply))

    def resembles(self, sent: str, listed: str) -> bool:
        return self._adapter.resembles(sent, listed)

    def bears_mark_of(self, attempt_id: str, listed: str) -> bool:
        return self._adapter.bears_mark_of(attempt_id, listed)

    def account(self) -> AccountInfo | None:
        """What the service says about the account; None where it has no such call."""
        call = self._adapter.build_info()
        if call is None:
            return None
        reply = self._sender.send(call)
        return replace(self._adapter.read_info(reply), served_at=served_at(reply))

    @property
    def cancels(self) -> bool:
        return self._adapter.cancels

    def cancel(self, job_id: str) -> bool:
        """Ask the service to stop a job, which the next poll then finds ended; False where it has no such call.

        Raises:
            ProviderError: the wish did not arrive, or may not have; asking again is harmless.
        """
        call = self._adapter.build_cancel(job_id)
        if call is None:
            return False
        self._adapter.read_cancel(self._sender.send(call))
        return True

    @property
    def tells_models(self) -> bool:
        """As in the contract."""
        return self._adapter.tells_models

    def check_live(self, ask: Ask, *, on: date) -> list[str]:
        """As in the contract. What the service said is remembered for `REMEMBERED_S`."""
        schema_call, end_call = self._adapter.build_schema(ask.model), self._adapter.build_model(ask.model)
        if schema_call is not None:
            self._adapter.check_schema(self._remembered(schema_call, self._adapter.read_schema), ask)
        if end_call is not None:
            return load().get(ask.model).check_end(self._remembered(end_call, self._adapter.read_end), on)
        return []

    def _remembered(self, call: Call, read: Callable[[Reply], _Answer]) -> _Answer:
        """What the service says about a model; asked at most once in `REMEMBERED_S`."""
        known = self._answers.get(call.path)
        if known is None or time.monotonic() - known[0] > REMEMBERED_S:
            known = self._answers[call.path] = (time.monotonic(), read(self._sender.send(call)))
        answer: _Answer = known[1]
        return answer

    @property
    def checks_prompts(self) -> bool:
        """As in the contract."""
        return self._adapter.checks_prompts

    def objection(self, text: str) -> str | None:
        """As in the contract."""
        call = self._adapter.build_prompt_check(text)
        return None if call is None else self._adapter.read_prompt_check(self._sender.send(call))

    def read_webhook(self, headers: Mapping[str, str], content: bytes) -> Notice | Unproven:
        """As in the contract; names of `headers` in lower case."""
        if not self._adapter.calls_back:
            return Unproven(why=f"{self.provider!r} calls nobody back")
        if self._signatures is None:
            return Notice(job_id=self._adapter.read_webhook(content))
        why = self._signatures.refusal(headers, content)
        if why is not None:
            return Unproven(why=why)
        return Notice(job_id=self._adapter.read_webhook(content), event_id=headers[EVENT_ID], signed=True)

    def prepare_webhooks(self) -> None:
        if self._signatures is not None:
            self._signatures.prepare()

    def _secret(self) -> str:
        call = self._adapter.build_secret()
        assert call is not None, "asked only where webhooks are signed"
        return self._adapter.read_secret(self._sender.send(call))

    def told_by(self, job_id: str) -> Told | None:
        return self._adapter.read_told(self._fetch(job_id)) if self._adapter.calls_back else None

    def warnings(self, ask: Ask) -> Sequence[str]:
        """Sentences about wishes that are left out of the submission, usually none."""
        return self._adapter.warnings(ask)

    def fetch_picture(self, url: str, *, total_s: float | None = None) -> bytes:
        return self._pictures.fetch(url, total_s=total_s)

    @property
    def takes_files(self) -> bool:
        return self._uploads is not None or self._adapter.takes_files

    def upload_reference(self, content: bytes, media_type: str) -> str | None:
        """As in the contract. A second try is harmless: at worst the file lies there twice."""
        if len(content) <= self._adapter.most_inline_bytes:
            return f"data:{media_type};base64,{base64.b64encode(content).decode()}"
        tries = Retrying(
            stop=stop_after_attempt(UPLOAD_TRIES),
            wait=wait_exponential_jitter(multiplier=0.5, max=2),
            retry=retry_if_exception_type(ProviderDown),
            reraise=True,
        )
        if self._uploads is not None:
            return tries(self._leave_with_stand_in, self._uploads, content, media_type)
        call = self._adapter.build_upload(content, media_type)
        if call is None:
            return None
        return tries(lambda: self._adapter.read_upload(self._sender.send(call)))

    @staticmethod
    def _leave_with_stand_in(uploads: Sender, content: bytes, media_type: str) -> str:
        call = Call(
            method="PUT",
            path="/_sandbox/files",
            content=content,
            headers={"content-type": media_type},
            repeatable=True,
        )
        reply = uploads.send(call)
        if reply.status >= 500:
            raise ProviderDown(f"the file was not taken: status {reply.status}")
        url = (_Uploaded.read(reply.content) or _Uploaded()).url if reply.status in {200, 201} else None
        if url is None:
            raise ReplyUnreadable(f"the file was not taken: status {reply.status}, and no address in the answer")
        return url

    def reads_reference(self, media_type: str, *, size: int) -> bool:
        """As in the contract."""
        return media_type in self._adapter.reads_types and size <= self._adapter.most_reference_bytes

    def first_look_after(self, settings: Mapping[str, Any], *, model: str) -> timedelta:
        if self._first_look is not None:
            return self._first_look
        return self._adapter.first_look_after(settings, model=model)

    def close(self) -> None:
        self._sender.close()
        self._pictures.close()
        if self._uploads is not None:
            self._uploads.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"HttpLane({self.name!r}, {self.provider!r}, base_url={self._sender.base_url!r})"
