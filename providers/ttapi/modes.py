"""TTAPI's three speeds, and the time that it gives a job in each.

Source: PROVIDERS.md 1.4 and 1.5, TTAPI's documentation of 2026-03.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from domain.errors import RequestRefused
from providers.catalogue import Model
from providers.price_options import PriceOptions

MODES: Final = ("relax", "fast", "turbo")
DEFAULT_MODE: Final = "relax"
#: TTAPI's own limit on a job's time, in seconds: the least it allows, and what is sent when nobody says. Relax
#: jobs are said to take up to ten minutes, which is also the least allowed, so they get a margin.
LEAST_TIMEOUT_S: Final = {"relax": 600, "fast": 300, "turbo": 300}
USUAL_TIMEOUT_S: Final = {"relax": 900, "fast": 300, "turbo": 300}
MOST_TIMEOUT_S: Final = 1200
#: A little below the stated speeds (turbo under 30 to 60 s, fast under 60 to 90 s, relax 2 to 10 min).
FIRST_LOOK: Final = {"relax": timedelta(seconds=150), "fast": timedelta(seconds=45), "turbo": timedelta(seconds=25)}


def mode_of(settings: Mapping[str, Any]) -> str:
    """The speed that is always sent: TTAPI's own default differs between its pages."""
    mode = str(settings.get("mode") or DEFAULT_MODE).strip().lower()
    if mode not in MODES:
        raise RequestRefused(f"mode is {mode!r}; TTAPI takes one of {', '.join(MODES)}")
    return mode


def price_options_of(settings: Mapping[str, Any], _: Model) -> PriceOptions:
    """The speed is all that a price could depend on; every version has all three.

    Raises:
        RequestRefused: no such speed.
    """
    return PriceOptions(mode=mode_of(settings))


def job_timeout_s(settings: Mapping[str, Any]) -> int:
    """After how many seconds TTAPI itself gives the job up.

    Raises:
        RequestRefused: outside what TTAPI allows for the mode; too short a time ends as `Job Timeout`.
    """
    mode = mode_of(settings)
    wished = settings.get("timeout")
    if wished is None or wished == "":
        return USUAL_TIMEOUT_S[mode]
    least = LEAST_TIMEOUT_S[mode]
    text = str(wished).strip()
    if isinstance(wished, bool) or not text.isdecimal() or not least <= int(text) <= MOST_TIMEOUT_S:
        raise RequestRefused(f"timeout is {wished!r}; in {mode} mode TTAPI takes {least} to {MOST_TIMEOUT_S} seconds")
    return int(text)
