"""What the bucket costs, against R2's published prices.

Source: developers.cloudflare.com/r2/pricing, standard storage, read on 2026-11-21: 0.015 USD per GB-month, 4.50 USD per
million Class A operations; 10 GB-month and 1 million of them are free, and the rest is rounded up to whole units.
"""

from decimal import Decimal

import pytest

from storage.r2_prices import storage_cost

GB, MILLION = 10**9, 10**6


def test_bytes_and_uploads_cost_what_is_published() -> None:
    found = storage_cost(1000 * GB, 2 * MILLION)
    assert (found.month_usd, found.writes_usd) == (Decimal(15), Decimal(9))
    assert (found.billed_month_usd, found.billed_writes_usd) == (Decimal("14.85"), Decimal("4.50"))
    assert "cloudflare.com/r2/pricing" in found.source


@pytest.mark.parametrize(
    ("size", "files", "month", "writes"),
    [
        (0, 0, "0", "0"),
        (10 * GB, MILLION, "0", "0"),
        (10 * GB + 1, MILLION + 1, "0.015", "4.50"),  # begun units are billed whole
        (int(Decimal("11.1") * GB), 3 * MILLION, "0.030", "9.00"),
    ],
)
def test_what_is_free_is_not_billed_and_begun_units_are(size: int, files: int, month: str, writes: str) -> None:
    found = storage_cost(size, files)
    assert (found.billed_month_usd, found.billed_writes_usd) == (Decimal(month), Decimal(writes))
