"""What the bucket costs: bytes and operations at R2's prices, which `r2_prices.toml` holds."""

import tomllib
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

_GB = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageCost:
    """The cost of what is in the bucket.

    Args:
        month_usd: of keeping these bytes for a month, before what is free.
        writes_usd: of having uploaded each file once.
    """

    bytes: int
    files: int
    month_usd: Decimal
    writes_usd: Decimal
    source: str


def storage_cost(size: int, files: int) -> StorageCost:
    """The cost of `files` files of `size` bytes together."""
    prices = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"), parse_float=Decimal)
    return StorageCost(
        bytes=size,
        files=files,
        month_usd=size * prices["usd_per_gb_month"] / _GB,
        writes_usd=files * prices["usd_per_million_writes"] / 10**6,
        source=prices["source"],
    )
