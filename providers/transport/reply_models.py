"""Defines the base and the field types of the pydantic models that read a service's JSON.

One value comes under several names and in several types, and no reply may be lost because of one field: what is null,
blank or of no use counts as not said. What a value means is the adapter's business.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Final, Self

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PlainValidator,
    PrivateAttr,
    model_validator,
)
from pydantic_core import from_json

#: No clock on a wall is further behind UTC than this.
_WESTERNMOST: Final = timedelta(hours=12)
#: Unix times beyond this are milliseconds; in seconds it is the year 5138.
_MILLISECONDS_FROM: Final = 100_000_000_000
#: No service counts further, and arithmetic with an exponent of millions fails or takes for ever.
_MOST_DIGITS: Final = 100
_MOST: Final = 2**63 - 1


class ReplyModel(BaseModel):
    """A JSON object of a reply. Whatever else stands there is an object without any of the fields."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    _said: Mapping[str, Any] = PrivateAttr(default_factory=dict)

    @model_validator(mode="wrap")
    @classmethod
    def _without_blanks(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Null and blank are dropped first, so that the next of several names gets its turn."""
        if not isinstance(value, dict):
            return handler({})
        said = {name: one for name, one in value.items() if one is not None and one != ""}
        made = handler(said)
        made._said = said  # noqa: SLF001 -- its own
        return made

    @classmethod
    def read(cls, content: bytes) -> Self | None:
        """The object in `content`, or None where it holds none."""
        try:
            body = from_json(content)
        except ValueError:
            return None
        return cls.model_validate(body) if isinstance(body, dict) else None

    @property
    def is_empty(self) -> bool:
        return not self._said

    def excerpt(self, *names: str) -> dict[str, Any]:
        """What stands under these names, as it came; kept for people."""
        return {name: self._said[name] for name in names if name in self._said}


def named(*names: str) -> Any:
    """A field that stands under one of `names`, in order of preference."""
    return Field(default=None, validation_alias=AliasChoices(*names))


def _text(value: object) -> str | None:
    if isinstance(value, str):
        return value.strip() or None
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _texts(value: object) -> list[str]:
    return [one.strip() for one in value if isinstance(one, str) and one.strip()] if isinstance(value, list) else []


def _number(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        found = Decimal(str(value).strip())
    except InvalidOperation:
        return None
    return found if found.is_finite() and found.adjusted() < _MOST_DIGITS else None


def _whole(value: object) -> int | None:
    found = _number(value)
    return None if found is None or abs(found) > _MOST or found != found.to_integral_value() else int(found)


def _percent(value: object) -> int | None:
    found = _number(value.rstrip("% ") if isinstance(value, str) else value)
    return None if found is None else int(min(Decimal(100), max(Decimal(0), found)))


def _moment(value: object) -> datetime | None:
    number = _number(value)
    try:
        if number is not None:
            return datetime.fromtimestamp(float(number / 1000 if number > _MILLISECONDS_FROM else number), UTC)
        return datetime.fromisoformat(value.strip()) if isinstance(value, str) else None
    except (ValueError, OverflowError, OSError):
        return None


def _rows(value: object) -> list[dict[str, Any]] | None:
    found = value
    if isinstance(value, dict):
        found = next((part for part in value.values() if isinstance(part, list)), None)
    return found if isinstance(found, list) and all(isinstance(row, dict) for row in found) else None


#: A string that is not blank, or a number as text.
Text = Annotated[str | None, PlainValidator(_text)]
#: The strings of a list that are not blank, in order.
Texts = Annotated[Sequence[str], PlainValidator(_texts)]
#: The same, where a string by itself is a list of one.
TextOrTexts = Annotated[
    Sequence[str], PlainValidator(lambda value: _texts([value] if isinstance(value, str) else value))
]
Number = Annotated[Decimal | None, PlainValidator(_number)]
#: A whole number that 64 bits hold.
Whole = Annotated[int | None, PlainValidator(_whole)]
#: 0 to 100; a `%` after the number is understood.
Percent = Annotated[int | None, PlainValidator(_percent)]
#: From a number of seconds or milliseconds, or from ISO 8601; without a zone where the service names none.
Moment = Annotated[datetime | None, PlainValidator(_moment)]
#: A list of objects, or one that lies a step deeper in an object that pages it.
Rows = Annotated[list[dict[str, Any]] | None, PlainValidator(_rows)]


def unix_time(moment: datetime | None) -> float | None:
    """Seconds since 1970. Without a zone it is None: a wrong guess by hours would hide a job from the search for it."""
    return moment.timestamp() if moment is not None and moment.tzinfo is not None else None


def latest_unix_time(moment: datetime | None) -> float | None:
    """Of a time without a zone, the latest moment at which a clock on any wall shows it."""
    if moment is None or moment.tzinfo is not None:
        return None
    return (moment.replace(tzinfo=UTC) + _WESTERNMOST).timestamp()
