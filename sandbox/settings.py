"""What one sandbox process is told when it starts.

Nothing here can change while it runs: faults are switched over HTTP, everything else by starting it again.
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
        public_url: what callbacks and picture links start with when callers see the sandbox under another
            address than the one it listens on.
        latency_s: the usual time from acceptance to result in `fast` mode; other modes are multiples of it.
        size_px: the side of one square picture; other shapes have the same area, a grid has twice the side.
        concurrency: jobs accepted and not finished that one key may have.
        price_usd: charged for each picture job, given back when the job fails.
        wallet_usd: what each key can spend before its submissions are refused for lack of money.
        submits_per_minute: accepted submissions per key in any 60 s; 0 sets no limit.
        illegal_limit: failed illegal prompts per key and day that are still given back.
        key: the one key that is accepted; None accepts every key that is not empty.
        seed: of the generator that spreads the durations of jobs.
        artists: processes that draw.
        callback_pause_s: between two tries to deliver one callback; Replicate's pauses grow from it.
        retention_s: how long Replicate keeps the input, the output and the files of a prediction.
        retired: how Replicate says that a model is gone: "failed", as a prediction that fails, or "404".
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
