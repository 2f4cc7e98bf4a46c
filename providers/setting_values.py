"""Reads the values of settings and flags, which come as text, numbers or lists, and refuses what can't be meant."""

import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from domain.errors import RequestRefused
from domain.finishing import FINISH

#: Takes a setting's name, for the sentence, and its value.
Read = Callable[[str, object], Any]


#: Settings that no model is told: when a job is overdue, how often it is looked at, and what is done to its picture.
OVERDUE_AFTER: Final = "overdue_after_s"
POLL_EVERY: Final = "poll_every_s"
UNSENT: Final = (OVERDUE_AFTER, POLL_EVERY, FINISH)


def is_said(value: object) -> bool:
    """Whether a setting says anything; None, empty text and empty lists say nothing."""
    return value is not None and value not in ("", [], ())


def whole(low: int, high: int) -> Callable[[str, object], int]:
    def read(name: str, value: object) -> int:
        text = str(value).strip()
        if isinstance(value, bool) or not re.fullmatch(r"\d{1,10}", text) or not low <= int(text) <= high:
            raise RequestRefused(f"{name} is {value!r}; it takes a whole number from {low} to {high}")
        return int(text)

    return read


def number(low: str, high: str | None = None) -> Callable[[str, object], Decimal]:
    def read(name: str, value: object) -> Decimal:
        try:
            found = Decimal(str(value).strip())
        except InvalidOperation:
            found = Decimal("NaN")
        if isinstance(value, bool) or not found.is_finite() or not Decimal(low) <= found <= Decimal(high or "Infinity"):
            span = f"from {low} to {high}" if high is not None else f"from {low}"
            raise RequestRefused(f"{name} is {value!r}; it takes a number {span}")
        return found

    return read


def one_of(*words: str) -> Callable[[str, object], str]:
    def read(name: str, value: object) -> str:
        text = str(value).strip().lower()
        if text not in words:
            raise RequestRefused(f"{name} is {value!r}; it takes one of {', '.join(words)}")
        return text

    return read


def ratio(name: str, value: object) -> tuple[int, int]:
    """Width and height of a shape like `3:2`."""
    found = re.fullmatch(r"([1-9]\d{0,3}):([1-9]\d{0,3})", str(value).strip())
    if found is None:
        raise RequestRefused(f"{name} is {value!r}; it takes two whole numbers with a colon, like 3:2")
    return int(found[1]), int(found[2])


def addresses(name: str, value: object) -> list[str]:
    """Addresses of a list, or of text with white space, commas, semicolons or bars between them."""
    parts = value if isinstance(value, list | tuple) else re.split(r"\s+|[,;|]+(?=\s|https?://|$)", str(value))
    found = [str(part).strip() for part in parts]
    found = [part for part in found if part] if isinstance(value, str) else found
    if not found or not all(re.fullmatch(r"https?://[^\s\"'<>]+", one) for one in found):
        raise RequestRefused(f"{name} is {value!r}; it takes addresses that start with http:// or https://")
    return found


def job_seconds(value: object, *, usual: int, least: int, most: int, by: str) -> int:
    """After how many seconds a service is to give a job up; `usual` where the setting says nothing."""
    if value is None or value == "":
        return usual
    text = str(value).strip()
    fits = text.isdecimal() and len(text) <= 6 and least <= int(text) <= most
    if isinstance(value, bool) or not fits:
        raise RequestRefused(f"timeout is {value!r}; {by} takes {least} to {most} seconds")
    return int(text)
