"""What a call for pictures asks OpenAI for, checked as it checks it, and the job that an accepted one becomes. Pure."""

import random
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sandbox.faults.armed import Fault
from sandbox.jobs import Job
from sandbox.moderation import objections
from sandbox.settings import Settings
from sandbox.shapes import own_seed, size_of
from sandbox.wires.openai.bodies import NotAccepted, blocked, invalid, missing, no_fidelity, no_model, unknown
from sandbox.wires.openai.models import COMMON, EDITS, Model, live, pixels, price_micros, usage

PROVIDER = "openai"
SPREAD = (0.7, 1.4)  # of a call's time around the usual
MOST_REFERENCES = 16
MOST_PICTURES = 10
STEP = 16
LIKENESS = 0.9  # of a drawing to its references; these models keep to them by themselves
SIZES = ("1024x1024", "1536x1024", "1024x1536", "auto")
FORMATS = ("png", "jpeg", "webp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A checked call."""

    job_id: str
    kind: str
    name: str
    model: Model
    prompt: str
    pictures: int
    size: str
    quality: str
    background: str
    output_format: str
    references: Sequence[str]


def wanted(kind: str, fields: Mapping[str, Any], *, references: Sequence[str], now_s: float) -> Wanted:
    """Raises `NotAccepted` as OpenAI refuses.

    Args:
        kind: `generation` or `edit`.
        references: addresses of the pictures to be edited, already checked.
    """
    prompt = fields.get("prompt")
    if not isinstance(prompt, str) or not prompt.strip():
        raise missing("prompt")
    name = str(fields.get("model") or ("dall-e-2" if kind == "generation" else "gpt-image-1.5"))
    model = live(name.partition("-2026-")[0], datetime.fromtimestamp(now_s, UTC).date())
    if model is None or not model.pictures:
        raise no_model(name)
    _check_names(kind, name, model, fields)
    if kind == "edit" and not references:
        raise missing("image")
    job_id = f"req_{uuid.uuid4().hex}"
    if found := objections(prompt):
        raise blocked(job_id, why=next(iter(found.values())).category)
    return Wanted(
        job_id=job_id,
        kind=kind,
        name=name,
        model=model,
        prompt=prompt,
        pictures=_whole(fields, "n", 1, 1, MOST_PICTURES),
        size=_size(fields, model),
        quality=_word(fields, "quality", model.qualities, "auto"),
        **_look(fields),
        references=references,
    )


def _check_names(kind: str, name: str, model: Model, fields: Mapping[str, Any]) -> None:
    if "input_fidelity" in fields and not model.fidelity:
        raise no_fidelity(name)
    allowed = COMMON | (EDITS if kind == "edit" else frozenset()) | ({"input_fidelity"} if model.fidelity else set())
    for field in fields:
        if field not in allowed:
            raise unknown(field)


def _look(fields: Mapping[str, Any]) -> dict[str, str]:
    output_format = _word(fields, "output_format", FORMATS, "png")
    background = _word(fields, "background", ("transparent", "opaque", "auto"), "auto")
    _word(fields, "moderation", ("low", "auto"), "auto")
    if background == "transparent" and output_format == "jpeg":
        said = "Transparent background is not supported with output format 'jpeg'."
        raise NotAccepted(400, said, code="invalid_value", param="background")
    if "output_compression" in fields:
        percent = _whole(fields, "output_compression", 100, 0, 100)
        if output_format == "png" and percent < 100:
            said = "Compression less than 100 is not supported for PNG output format."
            raise NotAccepted(400, said, code="invalid_png_output_compression", param="output_compression")
    return {"output_format": output_format, "background": background}


def _word(fields: Mapping[str, Any], name: str, allowed: Sequence[str], default: str) -> str:
    value = fields.get(name)
    if value is None:
        return default
    if value not in allowed:
        raise invalid(name, value, allowed)
    return str(value)


def _whole(fields: Mapping[str, Any], name: str, default: int, least: int, most: int) -> int:
    value = fields.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not str(value).isdecimal() or not least <= int(value) <= most:
        said = f"Invalid '{name}': expected a whole number from {least} to {most}."
        raise NotAccepted(400, said, code="invalid_value", param=name)
    return int(value)


def _size(fields: Mapping[str, Any], model: Model) -> str:
    size = fields.get("size") or "auto"
    if size in SIZES:
        return str(size)
    found = re.fullmatch(r"([1-9]\d{1,3})x([1-9]\d{1,3})", str(size))
    if found is None or not model.bases:
        raise invalid("size", size, SIZES)
    width, height = int(found[1]), int(found[2])
    longer, shorter = max(width, height), min(width, height)
    if width % STEP or height % STEP or longer > 3 * shorter or longer > 3840 or width * height > 3840 * 2160:
        said = f"Invalid size '{size}'. Width and height must both be divisible by 16."
        raise NotAccepted(400, said, code="invalid_value", param="size")
    return str(size)


def job_from(wanted: Wanted, *, settings: Settings, fault: Fault | None, key_digest: str, now_s: float) -> Job:
    """The job that this call becomes if it is accepted at `now_s`.

    Pictures are drawn with the shape that was asked for and the area of the sandbox's own size, and counted at the
    size that was asked for.
    """
    counted = usage(
        wanted.model,
        prompt=wanted.prompt,
        references=len(wanted.references),
        pictures=wanted.pictures,
        quality=wanted.quality,
        size=wanted.size,
    )
    name = fault.name if fault is not None else ""
    took_s = settings.latency_s * random.Random(f"{settings.seed}/{wanted.job_id}").uniform(*SPREAD)
    price = price_micros(wanted.model, counted)
    return Job(
        job_id=wanted.job_id,
        provider=PROVIDER,
        kind=wanted.kind,
        prompt=wanted.prompt,
        key_digest=key_digest,
        mode=wanted.name,
        plan=_plan(wanted, size_px=settings.size_px) | {"usage": counted},
        fault=name or None,
        received_at_s=now_s,
        accepted_at_s=now_s,
        starts_at_s=now_s,
        due_at_s=now_s + took_s,
        message=fault.argument if fault is not None and name == "failed_body" else "",
        stuck=name == "stuck",
        price_micros=price,
        charged_micros=price,
    )


def _plan(wanted: Wanted, *, size_px: int) -> dict[str, Any]:
    return {
        "text": wanted.prompt,
        "references": list(wanted.references),
        "also_reachable": [],
        "weight": LIKENESS,
        "seed": own_seed(wanted.job_id),
        "size": size_of(pixels("1024x1024" if wanted.size == "auto" else wanted.size), size_px),
        "tiles": list(range(wanted.pictures)),
        "numbered": True,
        "asked_size": wanted.size,
        "quality": wanted.quality,
        "background": wanted.background,
        "output_format": wanted.output_format,
    }
