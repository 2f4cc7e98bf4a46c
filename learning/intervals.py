"""Intervals for shares, as reports show them."""

from math import sqrt
from typing import Final

#: Of the normal distribution, for intervals of 95 %.
Z: Final = 1.959964


def wilson(successes: float, total: float, *, z: float = Z) -> tuple[float, float]:
    """The Wilson interval of a share, at 95 % unless `z` says otherwise; (0, 1) where nothing was seen."""
    if total <= 0:
        return 0.0, 1.0
    share = successes / total
    centre = share + z**2 / (2 * total)
    reach = z * sqrt(share * (1 - share) / total + z**2 / (4 * total**2))
    return max(0.0, (centre - reach) / (1 + z**2 / total)), min(1.0, (centre + reach) / (1 + z**2 / total))
