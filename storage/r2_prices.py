"""What the bucket costs: bytes and operations at R2's prices, which `r2_prices.toml` holds."""

import tomllib
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

_GB = 10**9
_MILLION = 10**6


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageCost:
    """The cost of what is in the bucket.

    Args:
        month_usd: of keeping these bytes for a month, before what is free.
        writes_usd: of having uploaded each file once, before what is free.
        billed_month_usd: what R2 bills a month for the bytes, if the account keeps nothing else: beyond what is free.
        billed_writes_usd: what R2 bills for the uploads, if all of them were in one month.
    """

    bytes: int
    files: int
    month_usd: Decimal
    writes_usd: Decimal
    billed_month_usd: Decimal
    billed_writes_usd: Decimal
    source: str


def storage_cost(size: int, files: int) -> StorageCost:
    """The cost of `files` files of `size` bytes together."""
    prices = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"), parse_float=Decimal)
    return StorageCost(
        bytes=size,
        files=files,
        month_usd=size * prices["usd_per_gb_month"] / _GB,
        writes_usd=files * prices["usd_per_million_writes"] / _MILLION,
        billed_month_usd=_billed(size, _GB, free=prices["free_gb_month"]) * prices["usd_per_gb_month"],
        billed_writes_usd=_billed(files, _MILLION, free=prices["free_million_writes"])
        * prices["usd_per_million_writes"],
        source=prices["source"],
    )


def _billed(used: int, unit: int, *, free: int) -> int:
    """The units that are billed: begun ones count whole, and the first `free` are free."""
    return max(-(-used // unit) - free, 0)
