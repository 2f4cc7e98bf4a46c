"""Settings of a sandbox process.

Fixed while it runs; only faults can be changed, over HTTP.
"""

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How the stand-in behaves.

    Attributes:
        data: folder that holds the bill, the pictures and the files; one process at a time may use it.
        port: 0 lets the system choose one.
        public_url: prefix of callback and picture addresses, if clients use another address than it listens on.
        latency_s: usual time from acceptance to result in `fast` mode; other modes are multiples of it.
        size_px: side of a square picture; other shapes have the same area, a grid has twice the side.
        concurrency: unfinished jobs per key.
        price_usd: price of a picture job, refunded when it fails.
        wallet_usd: balance of each key; submissions beyond it are refused.
        submits_per_minute: accepted submissions per key in any 60 s; 0 for no limit.
        illegal_limit: failed illegal prompts per key and day that are still refunded.
        key: the only accepted key; None accepts every non-empty key.
        seed: of the random durations of jobs.
        artists: number of drawing processes.
        callback_pause_s: between two tries of a callback; Replicate's pauses grow from it.
        retention_s: how long Replicate keeps the input, the output and the files of a prediction.
        retired: how Replicate reports a removed model: "failed", as a prediction that fails, or "404".
        list_page: predictions on one page of Replicate's list.
    """

    data: Path
    host: str = "127.0.0.1"
    port: int = 0
    public_url: str | None = None
    latency_s: float = 0.4
    size_px: int = 512
    concurrency: int = 10
    price_usd: Decimal = Decimal("0.02")
    wallet_usd: Decimal = Decimal(10_000)
    submits_per_minute: int = 0
    illegal_limit: int = 30
    key: str | None = None
    seed: int = 0
    artists: int = 2
    callback_pause_s: float = 0.5
    retention_s: float = 3600.0
    retired: str = "failed"
    list_page: int = 100
