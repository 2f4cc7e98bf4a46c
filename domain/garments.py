"""The specification of a picture (VLT): what is worn in it, attribute by attribute, each with a confidence.

In JSON it has the shape that the owner's service used, records with nested fields, and beside them `confidence` by the
path of the field. The JSON Schema in `docs/` is written from `Attribute`, so that it cannot say anything else.
"""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from domain.errors import BadInput

LONGEST_VALUE: Final = 200
MOST_RECORDS: Final = 8
MOST_DETAILS: Final = 20


class Attribute(StrEnum):
    """What can be said of a garment, by the path of its field."""

    GARMENT_TYPE = "garmentType"
    FABRIC_TYPE = "fabric.type"
    FABRIC_TEXTURE = "fabric.texture"
    FABRIC_WEIGHT = "fabric.weight"
    COLOUR_PRIMARY = "colors.primary"
    COLOUR_SECONDARY = "colors.secondary"
    SILHOUETTE = "silhouette"
    NECKLINE = "neckline"
    SLEEVES = "sleeves"
    LENGTH = "length"
    PATTERN = "pattern"
    AESTHETIC = "style.aesthetic"
    FORMALITY = "style.formality"
    SEASON = "style.season"
    SCENE = "scene"  # where it is worn; not a field of the owner's, and left out where nothing says it


#: A list beside the attributes: hats, belts, buttons, whatever has no field of its own.
DETAILS: Final = "details"
_CONFIDENCE: Final = "confidence"
_PATHS: Final = tuple(one.value for one in Attribute)


@dataclass(frozen=True, slots=True, kw_only=True)
class Garment:
    """One record.

    Args:
        values: attributes that are known; the others are absent.
        confidence: 0 to 1, of those values that somebody has weighed; a person's own words have none.
    """

    values: Mapping[Attribute, str] = field(default_factory=dict)
    details: Sequence[str] = ()
    confidence: Mapping[Attribute, float] = field(default_factory=dict)

    def get(self, attribute: Attribute) -> str | None:
        return self.values.get(attribute)

    def as_json(self) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for attribute, value in self.values.items():
            head, _, tail = attribute.value.partition(".")
            if tail:
                made.setdefault(head, {})[tail] = value
            else:
                made[head] = value
        if self.details:
            made[DETAILS] = list(self.details)
        if self.confidence:
            made[_CONFIDENCE] = {one.value: round(share, 3) for one, share in self.confidence.items()}
        return made


def spec_of(garments: Sequence[Garment]) -> dict[str, Any]:
    """The specification in JSON."""
    return {"records": [one.as_json() for one in garments]}


def read_spec(data: Any, *, name: str = "the specification") -> list[Garment]:
    """The records of a specification.

    Args:
        name: what sentences call it.

    Raises:
        BadInput: it has another shape; the sentence names the field.
    """
    records = data.get("records") if isinstance(data, Mapping) and "records" in data else [data]
    if not isinstance(records, list) or not 0 < len(records) <= MOST_RECORDS:
        raise BadInput(f'{name} has 1 to {MOST_RECORDS} records: {{"records": [{{"garmentType": "evening gown"}}]}}')
    return [_garment(one, f"record {number} of {name}") for number, one in enumerate(records, start=1)]


def _garment(record: Any, name: str) -> Garment:
    if not isinstance(record, Mapping):
        raise BadInput(f'{name} is no object; write it like {{"garmentType": "evening gown"}}')
    values: dict[Attribute, str] = {}
    details: Sequence[str] = ()
    confidence: Mapping[Attribute, float] = {}
    for key, value in record.items():
        if key == DETAILS:
            details = _details(value, name)
        elif key == _CONFIDENCE:
            confidence = _confidence(value, name)
        else:
            for path, inner in _fields(key, value, name):
                if (text := _text(inner, f"{path!r} in {name}")) is not None:
                    values[_attribute(path, name)] = text
    if not values and not details:
        raise BadInput(f"{name} says nothing; give at least a garmentType")
    return Garment(values=values, details=details, confidence={k: v for k, v in confidence.items() if k in values})


def _fields(key: str, value: Any, name: str) -> list[tuple[str, Any]]:
    if isinstance(value, Mapping):
        return [(f"{key}.{inner}", one) for inner, one in value.items()]
    if any(path.startswith(f"{key}.") for path in _PATHS):
        inside = [path for path in _PATHS if path.startswith(f"{key}.")]
        raise BadInput(f"{key!r} in {name} is an object with {', '.join(one.partition('.')[2] for one in inside)}")
    return [(key, value)]


def _attribute(path: str, name: str) -> Attribute:
    try:
        return Attribute(path)
    except ValueError:
        near = difflib.get_close_matches(path, _PATHS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(_PATHS)} and {DETAILS}"
        raise BadInput(f"{name} has no field {path!r}{hint}") from None


def _text(value: Any, where: str) -> str | None:
    if value is None or value == "":
        return None
    if isinstance(value, list):
        value = " and ".join(map(str, value))
    if not isinstance(value, str) or len(value) > LONGEST_VALUE or not value.isprintable():
        raise BadInput(f"{where} is a text of at most {LONGEST_VALUE} characters on one line")
    return " ".join(value.split())


def _details(value: Any, name: str) -> Sequence[str]:
    if not isinstance(value, list) or len(value) > MOST_DETAILS:
        raise BadInput(f"{DETAILS!r} in {name} is a list of at most {MOST_DETAILS} texts")
    found = [_text(one, f"{DETAILS!r} in {name}") for one in value]
    return [one for one in found if one is not None]


def _confidence(value: Any, name: str) -> Mapping[Attribute, float]:
    if not isinstance(value, Mapping):
        raise BadInput(f"{_CONFIDENCE!r} in {name} is an object of numbers from 0 to 1, by the path of a field")
    found: dict[Attribute, float] = {}
    for path, share in value.items():
        if share is None:
            continue
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
            raise BadInput(f"the confidence of {path!r} in {name} is {share!r}; write a number from 0 to 1")
        found[_attribute(path, name)] = float(share)
    return found


def json_schema(*, strict: bool) -> dict[str, Any]:
    """JSON Schema of a specification.

    Args:
        strict: as vision models are told: every field required and nullable, and no other, at every level.
    """
    text = {"type": ["string", "null"] if strict else "string"}
    properties: dict[str, Any] = {}
    for attribute in Attribute:
        head, _, tail = attribute.value.partition(".")
        if tail:
            properties.setdefault(head, _object({}, strict=strict))["properties"][tail] = dict(text)
        else:
            properties[head] = dict(text)
    properties[DETAILS] = {"type": "array", "items": {"type": "string"}}
    share = {"type": ["number", "null"]} if strict else {"type": "number", "minimum": 0, "maximum": 1}
    properties[_CONFIDENCE] = _object({path: dict(share) for path in _PATHS}, strict=strict)
    record = _object(properties, strict=strict)
    for one in (record, *record["properties"].values()):
        if strict and one.get("type") == "object":
            one["required"] = list(one["properties"])
    records = {"type": "array", "items": record} | ({} if strict else {"minItems": 1, "maxItems": MOST_RECORDS})
    return _object({"records": records}, strict=strict) | {"required": ["records"]}


def _object(properties: dict[str, Any], *, strict: bool) -> dict[str, Any]:
    made: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    return made | ({"required": []} if strict else {})
