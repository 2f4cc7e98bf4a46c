"""What a stored number shows: the number formats of .xlsx, reduced to the few differences that matter to a prompt.

Source: ECMA-376 part 1, 18.8.30 (built-in formats and their ids) and 18.17.4 (dates as numbers).
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Final

from pipeline.intake.workbooks.contract import Cell, Damaged, Kind

_BUILT_IN: Final = {
    **dict.fromkeys((*range(14, 18), 22, *range(27, 32), 36, *range(50, 55), 57, 58), Kind.DATE),
    **dict.fromkeys((*range(18, 22), *range(32, 36), *range(45, 48), 55, 56), Kind.TIME),
    **dict.fromkeys((9, 10), Kind.PERCENT),
}
#: Quoted and escaped text, colours and conditions; `[h]`, `[mm]` and `[s]` stay, being times.
_SILENT: Final = re.compile(r'"[^"]*"|\\.|_.|\*.|\[(?!h+\]|m+\]|s+\])[^\]]*\]', re.IGNORECASE)
_DAY_S: Final = 86_400
#: Spreadsheets keep 15 digits.
_EXACT: Final = 10**15


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How a cell shows a number, and whether its text is struck out.

    Args:
        zeros: to how many digits whole numbers are padded; 0 for not at all.
    """

    kind: Kind = Kind.NUMBER
    zeros: int = 0
    struck: bool = False


def style_of(format_id: int, code: str | None, *, struck: bool) -> Style:
    """The style of a format; `code` is None for a built-in one."""
    if code is None:
        return Style(kind=_BUILT_IN.get(format_id, Kind.NUMBER), struck=struck)
    shown = _SILENT.sub("", code.split(";", 1)[0]).lower()
    padded = re.fullmatch(r"0{2,30}", shown.strip())
    return Style(kind=_kind(shown), zeros=len(padded[0]) if padded else 0, struck=struck)


def _kind(shown: str) -> Kind:
    """What a format's letters make of a number; `m` is a month unless hours or seconds stand beside it."""
    if "general" in shown or "standard" in shown:
        return Kind.NUMBER
    if re.search(r"[hs]|\[m", shown) and not re.search("[yd]", shown):
        return Kind.TIME
    if re.search("[ydm]", shown):
        return Kind.DATE
    return Kind.PERCENT if "%" in shown else Kind.NUMBER


def number_cell(raw: str, style: Style, *, since_1904: bool) -> Cell:
    """A stored number as its style shows it.

    Raises:
        Damaged: that is no number.
    """
    number = _float(raw)
    match style.kind:
        case Kind.DATE:
            return Cell(Kind.DATE, _date(number, since_1904=since_1904), struck=style.struck)
        case Kind.TIME:
            seconds = round(number * _DAY_S)
            return Cell(Kind.TIME, clock(seconds), seconds, struck=style.struck)
        case Kind.PERCENT:
            return Cell(Kind.PERCENT, f"{plain(number * 100)}%", number, struck=style.struck)
    digits = raw.lstrip("-")
    exact = digits.isascii() and digits.isdigit()
    text = str(int(raw)) if exact and len(raw) <= 400 else plain(number)
    if style.zeros and exact:
        text = f"{int(raw):0{style.zeros}d}"
    return Cell(Kind.NUMBER, text, inexact=not exact and abs(number) >= _EXACT, struck=style.struck)


def plain(number: float) -> str:
    """A number in as few digits as it needs, at most the 15 that spreadsheets keep: `7` for 7.0."""
    if number == int(number) and abs(number) < _EXACT:
        return str(int(number))
    return f"{number:.15g}"


def clock(seconds: int) -> str:
    """`16:09`, or with seconds where there are any."""
    minutes, rest = divmod(abs(seconds), 60)
    text = f"{minutes // 60:02d}:{minutes % 60:02d}" + (f":{rest:02d}" if rest else "")
    return f"-{text}" if seconds < 0 else text


def _float(raw: str) -> float:
    try:
        number = float(raw)
    except ValueError:
        raise Damaged(f"{raw[:20]!r} stands where a number belongs") from None
    if not isfinite(number):
        raise Damaged(f"{raw[:20]!r} stands where a number belongs")
    return number


def _date(number: float, *, since_1904: bool) -> str:
    # Excel counts a 29 February 1900 that never was, so its days before March 1900 are off by one.
    begin = datetime(1904, 1, 1, tzinfo=UTC) if since_1904 else datetime(1899, 12, 30, tzinfo=UTC)
    try:
        moment = begin + timedelta(seconds=round(number * _DAY_S))
    except OverflowError:
        return plain(number)
    return moment.date().isoformat() if number == int(number) else moment.replace(tzinfo=None).isoformat(" ", "minutes")
