"""TTAPI's blend, describe and inpaint: what such a submission asks for, checked as TTAPI checks it.

Pictures come inside these calls, in base64. They are looked at here, so Pillow and numpy are loaded at the first one.
"""

import base64
import binascii
import io
import re
import uuid
from collections.abc import Mapping
from typing import Any

from sandbox.jobs import Job
from sandbox.shapes import own_seed, size_of
from sandbox.wires.ttapi.submit import MODE_FACTORS, NotAccepted, Wanted, check_at_the_door, varied, wanted_after

SHAPES = {"PORTRAIT": (2, 3), "SQUARE": (1, 1), "LANDSCAPE": (3, 2)}
BLENDED = (2, 5)
UNREADABLE = "[Invalid link!] The picture could not be read."


def wanted_blend(fields: Mapping[str, Any], *, size_px: int) -> Wanted:
    pictures = fields.get("imgBase64Array")
    if not isinstance(pictures, list) or not BLENDED[0] <= len(pictures) <= BLENDED[1]:
        raise NotAccepted(400, f"The imgBase64Array must have {BLENDED[0]} to {BLENDED[1]} pictures.")
    for picture in pictures:
        _check_readable(_bytes_with_type(picture, "imgBase64Array"), "imgBase64Array")
    shape = SHAPES.get(str(fields.get("dimensions") or "SQUARE"))
    if shape is None:
        raise NotAccepted(400, f"The dimensions must be one of {', '.join(SHAPES)}.")
    mode = fields.get("mode", "fast")
    if not isinstance(mode, str) or mode not in MODE_FACTORS:
        raise NotAccepted(400, f"The mode must be one of {', '.join(MODE_FACTORS)}.")
    job_id = str(uuid.uuid4())
    plan = {
        "text": "",
        "references": pictures,
        "also_reachable": [],
        "weight": 1.0,
        "seed": own_seed(job_id),
        "size": size_of(shape, size_px),
        "tiles": [0, 1, 2, 3],
        "images": fields.get("getUImages") is not False,
    }
    return Wanted(job_id=job_id, kind="blend", prompt="", mode=mode, plan=plan)


def wanted_describe(fields: Mapping[str, Any]) -> Wanted:
    """Four texts for one picture, in `base64` or behind a `url`; the first of the two wins."""
    texts: list[str] = []
    if fields.get("base64"):
        content = _bytes_with_type(fields["base64"], "base64")
        _check_readable(content, "base64")
        texts = describe(content)
    elif fields.get("url"):
        texts = _describe_behind(str(fields["url"]))
    else:
        raise NotAccepted(400, "The base64 or the url field is required.")
    return Wanted(
        job_id=str(uuid.uuid4()),
        kind="describe",
        prompt="",
        mode="fast",
        plan={"tiles": [], "texts": texts},
        message="" if texts else UNREADABLE,
    )


def wanted_inpaint(fields: Mapping[str, Any], parent: Job) -> Wanted:
    from PIL import Image

    if parent.state != "succeeded" or not parent.plan.get("tiles"):
        raise NotAccepted(400, "The job has no picture.")
    prompt, mask = fields.get("prompt"), fields.get("mask")
    if not isinstance(prompt, str) or not prompt.strip():
        raise NotAccepted(400, "The prompt field is required.")
    check_at_the_door(prompt)
    content = _bytes(mask, "mask")
    _check_readable(content, "mask")
    side = 2 if len(parent.plan["tiles"]) == 4 else 1
    width, height = parent.plan["size"]
    if Image.open(io.BytesIO(content)).size != (side * width, side * height):
        raise NotAccepted(400, f"The mask must have {side * width} x {side * height} pixels, as the picture has.")
    plan = varied(parent.plan, parent.plan["tiles"][0])
    return wanted_after(parent, kind="inpaint", plan={**plan, "text": f"{parent.plan['text']} {prompt}"})


def describe(content: bytes) -> list[str]:
    """What is seen in a picture, in four ways, as texts that would draw it again."""
    from sandbox.drawing.characters import Accessory, colour_name
    from sandbox.drawing.reading import read_likeness

    seen = read_likeness(content)
    who = f"{colour_name(seen.body)} {seen.species.value}"
    worn = "" if seen.accessory is Accessory.NOTHING else f" with a {colour_name(seen.trim)} {seen.accessory.value}"
    return [
        f"1. a {who}{worn}, children's book illustration --ar 1:1",
        f"2. a cheerful {who}{worn}, soft light, flat colours --ar 1:1",
        f"3. portrait of a {who}{worn}, simple background --ar 1:1",
        f"4. a small {who}{worn}, looking at the viewer, pastel palette --ar 1:1",
    ]


def _describe_behind(url: str) -> list[str]:
    from sandbox.drawing.reading import UnreadableReferenceError
    from sandbox.outgoing import Unreachable, fetch_reference

    try:
        return describe(fetch_reference(url))
    except (Unreachable, UnreadableReferenceError):
        return []


def _bytes_with_type(text: object, name: str) -> bytes:
    found = re.fullmatch(r"data:image/[a-z]+;base64,(.+)", text) if isinstance(text, str) else None
    if found is None:
        raise NotAccepted(400, f"The {name} must begin with data:image/png;base64,")
    return _bytes(found[1], name)


def _bytes(text: object, name: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True) if isinstance(text, str) and text else _missing(name)
    except (ValueError, binascii.Error) as error:
        raise NotAccepted(400, f"The {name} is not base64.") from error


def _missing(name: str) -> bytes:
    raise NotAccepted(400, f"The {name} field is required.")


def _check_readable(content: bytes, name: str) -> None:
    from PIL import Image, UnidentifiedImageError

    try:
        Image.open(io.BytesIO(content)).load()
    except (OSError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise NotAccepted(400, f"The {name} holds no picture.") from error
