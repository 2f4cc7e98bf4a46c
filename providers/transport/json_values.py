"""Values out of a service's JSON, where one value comes under several names and in several types.

Every function takes the names in order of preference and gives None, or nothing, where none of them holds
a value that can be used. What a value means is the adapter's business.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

#: No clock on a wall is further behind UTC than this.
_WESTERNMOST = timedelta(hours=12)
#: Unix times beyond this are milliseconds; in seconds it is the year 5138.
_MILLISECONDS_FROM = 100_000_000_000
#: No service counts further, and arithmetic with an exponent of millions fails or takes for ever.
_MOST_DIGITS = 100
_MOST = 2**63 - 1


def _values(source: Mapping[str, Any], names: tuple[str, ...]) -> list[Any]:
    return [source[name] for name in names if source.get(name) is not None]


def text(source: Mapping[str, Any], *names: str) -> str | None:
    """A string that is not blank, or a number as text."""
    for value in _values(source, names):
        if isinstance(value, str) and value.strip():
            return value.strip()
        if isinstance(value, int | float) and not isinstance(value, bool):
            return str(value)
    return None


def texts(source: Mapping[str, Any], *names: str) -> list[str]:
    """The strings of a list that are not blank, in order."""
    for value in _values(source, names):
        if isinstance(value, list):
            return [part.strip() for part in value if isinstance(part, str) and part.strip()]
    return []


def mapping(source: Mapping[str, Any], *names: str) -> dict[str, Any]:
    for value in _values(source, names):
        if isinstance(value, dict):
            return value
    return {}


def rows(source: Mapping[str, Any], *names: str) -> list[dict[str, Any]] | None:
    """A list of objects: under one of `names`, or one step deeper in an object that pages it."""
    for value in _values(source, names):
        found = value
        if isinstance(value, dict):
            found = next((part for part in value.values() if isinstance(part, list)), None)
        if isinstance(found, list) and all(isinstance(row, dict) for row in found):
            return found
    return None


def number(source: Mapping[str, Any], *names: str) -> Decimal | None:
    for value in _values(source, names):
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            continue
        try:
            found = Decimal(str(value).strip())
        except InvalidOperation:
            continue
        if found.is_finite() and found.adjusted() < _MOST_DIGITS:
            return found
    return None


def whole(source: Mapping[str, Any], *names: str) -> int | None:
    """A whole number; None also beyond what 64 bits hold."""
    found = number(source, *names)
    return None if found is None or abs(found) > _MOST or found != found.to_integral_value() else int(found)


def percent(source: Mapping[str, Any], *names: str) -> int | None:
    """0 to 100; a `%` after the number is understood."""
    cleaned = {name: value.rstrip("% ") if isinstance(value, str) else value for name, value in source.items()}
    found = number(cleaned, *names)
    return None if found is None else int(min(Decimal(100), max(Decimal(0), found)))


def unix_time(source: Mapping[str, Any], *names: str) -> float | None:
    """Seconds since 1970, from a number of seconds or milliseconds or from ISO 8601 with a time zone.

    Without a zone it is None: a wrong guess by hours would hide a job from the search for it.
    """
    found = number(source, *names)
    if found is not None:
        return float(found / 1000 if found > _MILLISECONDS_FROM else found)
    moment = _moment(source, *names)
    return moment.timestamp() if moment is not None and moment.tzinfo is not None else None


def latest_unix_time(source: Mapping[str, Any], *names: str) -> float | None:
    """Of a time without a zone, the latest moment at which a clock on any wall shows it."""
    moment = _moment(source, *names)
    if moment is None or moment.tzinfo is not None:
        return None
    return (moment.replace(tzinfo=UTC) + _WESTERNMOST).timestamp()


def _moment(source: Mapping[str, Any], *names: str) -> datetime | None:
    written = text(source, *names)
    try:
        return datetime.fromisoformat(written) if written else None
    except ValueError:
        return None
