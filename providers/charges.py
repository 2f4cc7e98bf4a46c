"""Believes an amount of money that a service names only within what the books can hold."""

import logging
from decimal import Decimal

from domain.money import LARGEST, usd

log = logging.getLogger(__name__)


def believable_usd(amount: Decimal, *, by: str) -> Decimal | None:
    """`amount` in dollars, or None where nothing can cost that: negative, not finite, more than a column holds.

    A figure of that kind is a slip of the service's, and no reason to lose what it stands beside; the price counts.

    Args:
        by: who says it, for the log.
    """
    # In this order: what is far too large cannot be rounded.
    if amount.is_finite() and 0 <= amount <= LARGEST:
        return usd(amount)
    log.error("%s names an amount of %s USD, which can't be; it counts as not said", by, amount)
    return None
