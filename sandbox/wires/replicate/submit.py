"""What a create asks Replicate for, checked as it checks it, and the job that an accepted one becomes. Pure.

Unknown keys inside `input` are accepted, echoed and ignored, as the original does: the reference is lost and the bill
is not.
"""

import base64
import random
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from sandbox.faults.armed import Fault
from sandbox.files import ROUTE as FILES_ROUTE
from sandbox.jobs import Job, micros
from sandbox.moderation import objections
from sandbox.settings import Settings
from sandbox.shapes import own_seed, size_of
from sandbox.wires.replicate.bodies import invalid, problem
from sandbox.wires.replicate.models import MODELS, Model

PROVIDER = "replicate"
KEYS = frozenset({"input", "webhook", "webhook_completed", "webhook_events_filter", "stream"})
EVENTS = frozenset({"start", "output", "logs", "completed"})
LEAST_LIFE_S = 5
QUEUE_SHARE = 0.2  # of a job's time is spent waiting
SPREAD = (0.7, 1.4)  # of a job's time around the usual
STOPPED_LATER_S = 60.0  # a prediction that is to be stopped must neither begin nor end before
E005 = "The input or output was flagged as sensitive. Please try again with different inputs. (E005) ({job_id})"
E001 = "An error occurred while processing your request (E001)"
UNREADABLE = "Invalid input: an image could not be downloaded or is no image (E006)"
TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
}


class NotAccepted(Exception):
    """A call that is answered with a status other than 2xx and this body."""

    def __init__(self, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> None:
        super().__init__(str(body["detail"]).strip())
        self.body, self.status, self.headers = body, int(body["status"]), dict(headers or {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A checked create.

    Attributes:
        message: why the prediction is going to fail, "" where nothing speaks against it.
        life_s: after so many seconds it is stopped, or None.
    """

    job_id: str
    name: str
    model: Model
    given: Mapping[str, Any]
    hook_url: str | None
    life_s: float | None
    message: str = ""


def wanted(name: str, fields: Mapping[str, Any], headers: Mapping[str, str], *, retired: str) -> Wanted:
    """Raises `NotAccepted` as Replicate refuses; what it would only find out at work is the `message`."""
    model = MODELS.get(name)
    if model is None or (model.gone and retired == "404"):
        raise NotAccepted(problem(404))
    wrong = [
        ("additional_property_not_allowed", "(root)", f"Additional property {key} is not allowed")
        for key in fields
        if key not in KEYS
    ]
    given = fields.get("input")
    if not isinstance(given, dict):
        wrong.append(("required", "(root)", "input is required"))
        given = {}
    else:
        wrong += list(_wrong_inputs(model, given))
    if wrong:
        raise NotAccepted(invalid(wrong))
    job_id = base64.b32encode(uuid.uuid4().bytes).decode().rstrip("=").lower()
    return Wanted(
        job_id=job_id,
        name=name,
        model=model,
        given=given,
        hook_url=_hook_url(fields),
        life_s=read_life_s(headers.get("cancel-after")),
        message=model.gone or (E005.format(job_id=job_id[:10]) if objections(str(given.get("prompt", ""))) else ""),
    )


def job_from(wanted: Wanted, *, settings: Settings, fault: Fault | None, key_digest: str, now_s: float) -> Job:
    """The job that this create becomes if it is accepted at `now_s`."""
    name = fault.name if fault is not None else ""
    spread = random.Random(f"{settings.seed}/{wanted.job_id}").uniform(*SPREAD)
    took_s = settings.latency_s * spread
    starts_at_s = now_s + QUEUE_SHARE * took_s
    plan = _plan(wanted, size_px=settings.size_px)
    price = micros(wanted.model.price(wanted.given))
    if wanted.model.usd_per_reference_mp:
        plan["billed"] = {"base": price, "reference_mp": micros(wanted.model.usd_per_reference_mp)}
    if wanted.life_s is not None:
        plan["ends_at_s"] = now_s + wanted.life_s
    if name == "canceled":
        plan["ends_at_s"] = starts_at_s
    if name == "aborted":
        plan["ends_at_s"], starts_at_s = now_s, now_s + took_s + STOPPED_LATER_S
    return Job(
        job_id=wanted.job_id,
        provider=PROVIDER,
        kind="prediction",
        prompt=str(wanted.given.get("prompt", "")),
        key_digest=key_digest,
        mode=wanted.name,
        plan=plan,
        fault=name or None,
        hook_url=wanted.hook_url,
        received_at_s=now_s,
        accepted_at_s=now_s,
        starts_at_s=starts_at_s,
        due_at_s=now_s + took_s + (2 * STOPPED_LATER_S if name in {"canceled", "aborted"} else 0.0),
        message=fault.argument if fault is not None and name == "failed_body" else wanted.message,
        stuck=name == "stuck",
        price_micros=price,
        charged_micros=price,
    )


def read_life_s(text: str | None) -> float | None:
    """`90s`, `5m`, `1h30m45s` or `30` in seconds; raises `NotAccepted` for anything else or less than five."""
    if not text:
        return None
    found = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?", text.strip())
    hours, minutes, seconds = (int(part or 0) for part in found.groups()) if found else (0, 0, 0)
    life_s = 3600 * hours + 60 * minutes + seconds
    if life_s < LEAST_LIFE_S:
        raise NotAccepted(problem(422, f"Cancel-After is {text!r}; it must be a duration of at least 5 seconds"))
    return float(life_s)


def read_wait_s(text: str) -> float:
    """How long `Prefer: wait` lets the reply wait; 0 where the header says nothing that counts."""
    found = re.fullmatch(r"wait(?:=([1-9]|[1-5][0-9]|60))?", text.strip())
    return float(found[1] or 60) if found else 0.0


def _wrong_inputs(model: Model, given: Mapping[str, Any]) -> Sequence[tuple[str, str, str]]:
    missing = [
        ("required", "input", f"{name} is required")
        for name, schema in model.inputs.items()
        if schema.get("required") and not given.get(name)
    ]
    known = [(name, given[name], schema) for name, schema in model.inputs.items() if given.get(name) is not None]
    wrong = [
        (kind, f"input.{name}", text) for name, value, schema in known for kind, text in _wrong(name, value, schema)
    ]
    return missing + wrong


def _wrong(name: str, value: object, schema: Mapping[str, Any]) -> list[tuple[str, str]]:
    kinds = TYPES[schema["type"]]
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        return [("invalid_type", f"Invalid type. Expected: {schema['type']}, given: {type(value).__name__}")]
    if "enum" in schema and value not in schema["enum"]:
        allowed = ", ".join(f'"{one}"' for one in schema["enum"])
        return [("enum", f"{name} must be one of the following: {allowed}")]
    if "maximum" in schema and isinstance(value, int | float) and value > schema["maximum"]:
        return [("number_lte", f"Must be less than or equal to {schema['maximum']}")]
    if "minimum" in schema and isinstance(value, int | float) and value < schema["minimum"]:
        return [("number_gte", f"Must be greater than or equal to {schema['minimum']}")]
    if "maxItems" in schema and isinstance(value, list) and len(value) > schema["maxItems"]:
        return [("array_max_items", f"Array must have at most {schema['maxItems']} items")]
    return []


def _hook_url(fields: Mapping[str, Any]) -> str | None:
    """Only HTTPS is called back, as there; an address on this machine is taken too, since it has no certificate."""
    address, events = fields.get("webhook"), fields.get("webhook_events_filter") or ["completed"]
    if not isinstance(events, list) or not EVENTS.issuperset(map(str, events)):
        raise NotAccepted(invalid([("enum", "webhook_events_filter", f"must be some of {', '.join(sorted(EVENTS))}")]))
    if not address:
        return None
    parts = urlsplit(address) if isinstance(address, str) else urlsplit("")
    local = parts.scheme == "http" and parts.hostname in {"127.0.0.1", "::1", "localhost"}
    if parts.scheme != "https" and not local:
        raise NotAccepted(invalid([("format", "webhook", "webhook must be an HTTPS URL")]))
    # Events before the end are not played.
    return str(address) if "completed" in events else None


def _plan(wanted: Wanted, *, size_px: int) -> dict[str, Any]:
    given, model = wanted.given, wanted.model
    pictures = given.get(model.reference) if model.reference else None
    references = [pictures] if isinstance(pictures, str) else list(pictures or ())
    count = int(given.get(model.count) or 1) if model.count else 1
    numbered = {"numbered": True} if count > 1 else {}
    return {
        "input": dict(given),
        "text": str(given.get("prompt", "")),
        # Uploaded files are the service's own: it reads them without asking itself.
        "references": [url.replace("/replicate/v1/files/", f"{FILES_ROUTE}/") for url in references],
        "also_reachable": [],
        # More references describe the character better.
        "weight": min(0.97, model.draws + 0.04 * max(0, len(references) - 1)),
        "seed": given["seed"]
        if isinstance(given.get("seed"), int) and "seed" in model.inputs
        else own_seed(wanted.job_id),
        "size": size_of(_aspect(given, model), size_px),
        "tiles": list(range(count)),
        **({"finishes": model.finishes} if model.finishes else {}),
        "format": given.get("output_format") or model.inputs.get("output_format", {}).get("default", "png"),
        **numbered,
    }


def _aspect(given: Mapping[str, Any], model: Model) -> tuple[int, int]:
    default = model.inputs.get("aspect_ratio", {}).get("default", "1:1")
    found = re.fullmatch(r"(\d{1,2}):(\d{1,2})", str(given.get("aspect_ratio") or default))
    return (int(found[1]), int(found[2])) if found else (1, 1)
