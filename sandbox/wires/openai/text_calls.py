"""OpenAI's two ways to ask for words, as a caller of structured output meets them: small, and always in the schema.

What the words say is of little use: a text repeats what it was asked; a schema is filled with words that suit the names
of its fields, drawn by the digest of the picture, and with the plainest values elsewhere. An answer that is longer than
the call allows is cut.
"""

import hashlib
import json
import random
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sandbox.jobs import Job
from sandbox.moderation import objections
from sandbox.settings import Settings
from sandbox.wires.openai.bodies import NotAccepted, missing, no_model
from sandbox.wires.openai.models import live, words_micros
from sandbox.wires.openai.submit import PROVIDER

PICTURE_TOKENS = 85  # of one picture looked at in low detail
#: What is seen in a picture, by the name of the field that asks for it.
SEEN: Mapping[str, tuple[str, ...]] = {
    "garmentType": ("evening gown", "trench coat", "summer dress", "wool sweater", "denim jacket"),
    "type": ("silk satin", "cotton", "linen", "wool"),
    "texture": ("smooth", "ribbed", "glossy"),
    "weight": ("light", "medium weight", "heavy"),
    "primary": ("burgundy", "navy", "emerald", "cream"),
    "secondary": ("gold", "black", "white"),
    "silhouette": ("fitted", "a-line", "loose"),
    "neckline": ("v-neck", "round neck"),
    "sleeves": ("long sleeves", "no sleeves"),
    "length": ("midi", "floor-length"),
    "pattern": ("solid", "striped", "floral"),
    "aesthetic": ("elegant", "minimalist", "romantic"),
    "formality": ("formal", "casual"),
    "season": ("summer", "winter"),
    "scene": ("in a plain studio", "on a city street"),
}
REFUSED = "I'm sorry, but I can't help with that."


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A checked call for words."""

    kind: str
    model: str
    text: str
    pictures: int
    schema: Mapping[str, Any] | None
    picture: str = ""
    most_tokens: int | None = None


def asked(kind: str, fields: Mapping[str, Any], *, now_s: float) -> Question:
    """Raises `NotAccepted`; `kind` is `chat` or `response`, which name their parts differently."""
    turns = fields.get("messages" if kind == "chat" else "input")
    if not turns:
        raise missing("messages" if kind == "chat" else "input")
    name = str(fields.get("model") or "")
    model = live(name, datetime.fromtimestamp(now_s, UTC).date())
    if model is None or model.words is None:
        raise no_model(name)
    parts = [{"text": turns}] if isinstance(turns, str) else list(_parts(turns))
    text = "\n".join(str(part["text"]) for part in parts if "text" in part)
    wanted = fields.get("response_format", {}) if kind == "chat" else fields.get("text", {}).get("format", {})
    schema = wanted.get("json_schema", wanted).get("schema") if wanted.get("type") == "json_schema" else None
    if schema is not None:
        _check_strict(schema)
    seen = "".join(json.dumps(part["image_url"]) for part in parts if "image_url" in part)
    most = fields.get("max_completion_tokens" if kind == "chat" else "max_output_tokens")
    return Question(
        kind=kind,
        model=name,
        text=text,
        pictures=sum("image_url" in part for part in parts),
        schema=schema,
        picture=hashlib.sha256(seen.encode()).hexdigest() if seen else "",
        most_tokens=most if isinstance(most, int) else None,
    )


def _parts(turns: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for turn in turns if isinstance(turns, list) else []:
        content = turn.get("content") if isinstance(turn, dict) else None
        found += [{"text": content}] if isinstance(content, str) else [one for one in content or [] if one]
    return found


def _check_strict(schema: Mapping[str, Any]) -> None:
    """Strict schemas require every property and allow no others, at every level."""
    if schema.get("type") == "object":
        properties = schema.get("properties", {})
        if schema.get("additionalProperties") is not False or set(schema.get("required", ())) != set(properties):
            said = "Invalid schema for response_format: 'additionalProperties' must be false and all keys 'required'."
            raise NotAccepted(400, said, code="invalid_json_schema", param="response_format")
        for one in properties.values():
            _check_strict(one)
    if isinstance(schema.get("items"), dict):
        _check_strict(schema["items"])


def answer(question: Question) -> tuple[str, bool]:
    """What is said, and whether it is a refusal."""
    if objections(question.text):
        return REFUSED, True
    last = question.text.strip().rpartition("\n")[2][:200]
    if question.schema is None:
        return last, False
    if set(question.schema.get("properties", {})) == {"prompts"}:
        return json.dumps({"prompts": _prompts(question.text)}), False
    return json.dumps(_plainest(question.schema, last, random.Random(question.picture))), False


def is_cut(question: Question, said: str) -> bool:
    """Whether the answer is longer than the call allows."""
    return question.most_tokens is not None and tokens_of(said) > question.most_tokens


def tokens_of(said: str) -> int:
    return -(-len(said.encode()) // 4)


def _prompts(text: str) -> list[str]:
    """As many prompts as the idea asks for."""
    try:
        idea = json.loads(text.strip().rpartition("\n")[2])
    except ValueError:
        idea = {}
    wanted = idea if isinstance(idea, dict) else {}
    records = (wanted.get("specification") or {}).get("records") or [{}]
    subject = wanted.get("idea") or records[0].get("garmentType") or "a picture"
    lights = ("in soft daylight", "at golden hour", "in clean studio light", "under a wide sky")
    count = int(wanted.get("prompts") or 1)
    return [f"{subject} {lights[at % len(lights)]}, version {at + 1}" for at in range(count)]


def _plainest(schema: Mapping[str, Any], text: str, rng: random.Random, name: str = "") -> Any:
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "string" and name in SEEN:
        return rng.choice(SEEN[name])
    if kind == "object":
        return {key: _plainest(one, text, rng, key) for key, one in schema.get("properties", {}).items()}
    if kind == "array":
        return [_plainest(schema.get("items", {}), text, rng)]
    plain = {"integer": schema.get("minimum", 0), "number": schema.get("minimum", 0), "boolean": False, "null": None}
    return plain.get(str(kind), text)


def job_of(question: Question, said: str, *, settings: Settings, key_digest: str, now_s: float) -> Job:
    """The line on the bill: words are charged by their tokens too."""
    tokens_in = -(-len(question.text.encode()) // 4) + question.pictures * PICTURE_TOKENS
    tokens_out = tokens_of(said)
    price = words_micros(question.model, tokens_in, tokens_out)
    return Job(
        job_id=f"req_{uuid.uuid4().hex}",
        provider=PROVIDER,
        kind=question.kind,
        prompt=question.text,
        key_digest=key_digest,
        mode=question.model,
        plan={"tiles": [], "tokens_in": tokens_in, "tokens_out": tokens_out},
        received_at_s=now_s,
        accepted_at_s=now_s,
        starts_at_s=now_s,
        due_at_s=now_s + settings.latency_s / 4,
        price_micros=price,
        charged_micros=price,
    )


def result(job: Job, said: str, *, refused: bool, cut: bool = False) -> dict[str, Any]:
    created, spent = int(job.accepted_at_s), (job.plan["tokens_in"], job.plan["tokens_out"])
    if job.kind == "chat":
        message = {"role": "assistant", "content": None if refused else said, "refusal": said if refused else None}
        return {
            "id": job.job_id.replace("req_", "chatcmpl-"),
            "object": "chat.completion",
            "created": created,
            "model": job.mode,
            "choices": [
                {"index": 0, "message": message, "logprobs": None, "finish_reason": "length" if cut else "stop"}
            ],
            "usage": {"prompt_tokens": spent[0], "completion_tokens": spent[1], "total_tokens": sum(spent)},
        }
    content = {"type": "refusal", "refusal": said} if refused else {"type": "output_text", "text": said}
    part: dict[str, Any] = {**content} if refused else {**content, "annotations": []}
    item = {"id": job.job_id.replace("req_", "msg_"), "type": "message", "role": "assistant", "status": "completed"}
    return {
        "id": job.job_id.replace("req_", "resp_"),
        "object": "response",
        "created_at": created,
        "status": "incomplete" if cut else "completed",
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "model": job.mode,
        "output": [item | {"content": [part]}],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": spent[0],
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": spent[1],
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": sum(spent),
        },
    }
