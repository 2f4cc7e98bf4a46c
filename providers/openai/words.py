"""Asks a language or vision model for words, in a JSON schema, over OpenAI's chat completions or a service like it.

One call is sent at most once. Whoever answers with words has been paid, also where the words are of no use: a refusal,
an answer that was cut off and one that is no JSON are answers of a type, with what they cost. There is no list of
calls, so a lost reply is a doubt that only a person or a deadline settles.

Source: PROVIDERS.md 3.5, openai-openapi of 2026-08-21.
"""

import base64
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_UP, Decimal
from enum import StrEnum
from typing import Any, Final, Self

from domain.errors import MaybeSent
from domain.money import MICRO
from providers.contract import Call, Reply
from providers.openai.failures import refusal_of
from providers.transport.http import Sender, checked_base_url, checked_key
from providers.transport.reply_models import ReplyModel, Rows, Text, Whole

TOTAL_S: Final = 60.0
_PATH: Final = "/v1/chat/completions"
_REPLY_MAX_BYTES: Final = 4 * 2**20
_MILLION: Final = 1_000_000
#: One picture in low detail, at the most that any model of the wire counts for it. Source: OpenAI's vision guide names
#: 85 to 2,833 tokens by model; twice the largest is held.
_PICTURE_TOKENS_AT_MOST: Final = 6_000
#: A token is at least one byte of text.
_SCHEMA_AND_ROLES_TOKENS: Final = 4_000
#: Models that think aloud unless they are told not to, and bill it.
_THINKING: Final = ("gpt-5", "gpt-6", "o1", "o3", "o4")


class Ended(StrEnum):
    """How an answer ended."""

    ANSWERED = "answered"
    REFUSED = "refused"  # the model would not
    TRUNCATED = "truncated"  # cut off at its most tokens
    UNREADABLE = "unreadable"  # no JSON, though that was asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked.

    Args:
        instructions: the system's part.
        text: the user's part.
        picture: a JPEG that goes along.
        schema: strict JSON Schema of the answer, under this name.
        most_tokens: of the answer.
    """

    instructions: str
    text: str
    schema_name: str
    schema: Mapping[str, Any]
    picture: bytes | None = None
    most_tokens: int = 1_500


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back.

    Args:
        content: the JSON, read; None where it ended otherwise.
        said: the model's words where they are no JSON: a refusal, or the beginning of what was cut.
        charged_usd: by the tokens that the reply counts; None where it counts none.
        call_id: the service's name for the call.
    """

    ended: Ended
    content: Any
    said: str
    charged_usd: Decimal | None
    tokens: Mapping[str, int]
    call_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Dollars per million tokens."""

    usd_in: Decimal
    usd_out: Decimal

    def of(self, tokens_in: int, tokens_out: int) -> Decimal:
        """Rounded up to a millionth of a dollar."""
        exact = (tokens_in * self.usd_in + tokens_out * self.usd_out) / _MILLION
        return exact.quantize(MICRO, rounding=ROUND_UP)


class _Message(ReplyModel):
    content: Text = None
    refusal: Text = None


class _Choice(ReplyModel):
    message: _Message = _Message()
    finish_reason: Text = None


class _Usage(ReplyModel):
    prompt_tokens: Whole = None
    completion_tokens: Whole = None


class _Completion(ReplyModel):
    id: Text = None
    choices: Rows = None
    usage: _Usage = _Usage()


class WordsClient:
    """The way to one model. Thread-safe; open it after a fork.

    Args:
        base_url: of the service; a trailing `/v1` is tolerated.
        rates: what its tokens cost.
    """

    def __init__(self, *, base_url: str, key: str, model: str, rates: Rates) -> None:
        key = checked_key(key, name="the key of the model for words")
        self.model = model
        self.rates = rates
        self._sender = Sender(
            checked_base_url(base_url), headers={"Authorization": f"Bearer {key}"}, secrets=(key,), connections=16
        )

    def most_usd(self, question: Question) -> Decimal:
        """The most that the call can cost."""
        words = len(question.text.encode()) + len(question.instructions.encode())
        picture = 0 if question.picture is None else _PICTURE_TOKENS_AT_MOST
        schema = len(json.dumps(question.schema).encode())
        most = self.rates.of(words + picture + schema + _SCHEMA_AND_ROLES_TOKENS, question.most_tokens)
        return max(most, MICRO)

    def ask(self, question: Question, *, begin_by: float = math.inf) -> Answer:
        """Ask once.

        Raises:
            NotSent, RateLimited, OutOfMoney, KeyRefused, RequestRefused, ContentRefused: certainly nothing was paid.
            MaybeSent: the reply is lost, or cannot be read: it may have been paid.
        """
        return self.read(self._sender.send(self.build(question), begin_by=begin_by))

    def build(self, question: Question) -> Call:
        parts: list[dict[str, Any]] = [{"type": "text", "text": question.text}]
        if question.picture is not None:
            data = base64.b64encode(question.picture).decode()
            address = {"url": f"data:image/jpeg;base64,{data}", "detail": "low"}
            parts.append({"type": "image_url", "image_url": address})
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [
                {"role": "system", "content": question.instructions},
                {"role": "user", "content": parts},
            ],
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": question.schema_name, "strict": True, "schema": question.schema},
            },
            "max_completion_tokens": question.most_tokens,
        }
        if self.model.startswith(_THINKING):
            body["reasoning_effort"] = "none"
        return Call(
            method="POST",
            path=_PATH,
            json=body,
            total_s=TOTAL_S,
            reply_max_bytes=_REPLY_MAX_BYTES,
            model=self.model,
        )

    def read(self, reply: Reply) -> Answer:
        """The answer in a reply.

        Raises:
            ProviderError: as `ask`.
        """
        if (refused := refusal_of(reply)) is not None:
            raise refused
        completion = _Completion.read(reply.content) if reply.status == 200 else None
        if completion is None or not completion.choices:
            raise MaybeSent(
                f"{reply.path} answered {reply.status} with nothing that can be read; whether it is paid is unknown"
            )
        choice = _Choice.model_validate(completion.choices[0])
        said = choice.message.content or ""
        ended, content = _ended(choice, said)
        spent = completion.usage
        counted = spent.prompt_tokens is not None and spent.completion_tokens is not None
        tokens_in, tokens_out = spent.prompt_tokens or 0, spent.completion_tokens or 0
        return Answer(
            ended=ended,
            content=content,
            said="" if ended is Ended.ANSWERED else (choice.message.refusal or said)[:500],
            charged_usd=self.rates.of(tokens_in, tokens_out) if counted else None,
            tokens={"in": tokens_in, "out": tokens_out} if counted else {},
            call_id=completion.id or reply.headers.get("x-request-id"),
        )

    def close(self) -> None:
        self._sender.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _ended(choice: _Choice, said: str) -> tuple[Ended, Any]:
    if choice.message.refusal or choice.finish_reason == "content_filter":
        return Ended.REFUSED, None
    if choice.finish_reason == "length":
        return Ended.TRUNCATED, None
    try:
        content = json.loads(said)
    except ValueError:
        return Ended.UNREADABLE, None
    return (Ended.ANSWERED, content) if isinstance(content, dict) else (Ended.UNREADABLE, None)
