"""Knows TTAPI's three speeds, and the time that it gives a job in each.

Source: PROVIDERS.md 1.4 and 1.5, TTAPI's documentation of 2026-03.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from providers.catalogue import Model
from providers.price_options import PriceOptions, chosen
from providers.setting_values import job_seconds

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
    return chosen("mode", str(settings.get("mode") or DEFAULT_MODE), MODES, by="TTAPI")


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
    return job_seconds(
        settings.get("timeout"),
        usual=USUAL_TIMEOUT_S[mode],
        least=LEAST_TIMEOUT_S[mode],
        most=MOST_TIMEOUT_S,
        by=f"in {mode} mode TTAPI",
    )
