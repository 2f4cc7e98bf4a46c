"""The stand-in's three wires as a crash test uses them: settings, faults, orders, and how the books name each."""

import json
import socket
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from domain.escalation import try_policy_of
from pipeline.intake.commit import Enqueued, commit
from pipeline.intake.plan import Order, prepare
from pipeline.intake.prompt_file import read_prompts
from pipeline.resources import Resources
from runtime.settings import Settings
from tests.support.commands import SMALL_MODEL, write_prompts


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """One service of the stand-in.

    Args:
        provider: as the books name it.
        billed_as: as the bill names it.
        settings: of a batch.
        tight_usd: a budget for a few calls at a time.
        seeded: whether prompts may be equal under a seed of the user's own.
        listed: whether the service lists its jobs, so that every doubt settles by itself.
    """

    provider: str
    billed_as: str
    model: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    tight_usd: Decimal
    seeded: bool = False
    listed: bool = True


TTAPI = Wire(provider="sandbox", billed_as="ttapi", settings={"mode": "fast"}, tight_usd=Decimal(2), seeded=True)
REPLICATE = Wire(provider="replicate", billed_as="replicate", model="google/nano-banana-2.1", tight_usd=Decimal("0.60"))
OPENAI = Wire(
    provider="openai",
    billed_as="openai",
    model="gpt-image-2.5-flare",
    settings={"quality": "low"},
    tight_usd=Decimal("0.50"),
    listed=False,
)
WIRES = (TTAPI, REPLICATE, OPENAI)


def free_port() -> int:
    """A port of loopback that nobody uses at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def settings_for(url: str, **more: Any) -> Settings:
    """Settings under which workers use all three wires of the stand-in at `url`, with leases of three seconds."""
    changes = {
        "sandbox_base_url": url,
        "replicate_base_url": f"{url}/replicate",
        "replicate_api_token": SecretStr("r8_any-token-will-do-for-the-stand-in"),
        "replicate_rate_limit": "20/s",
        "replicate_concurrency": 10,
        "openai_base_url": f"{url}/openai",
        "openai_api_key": SecretStr("sk-any-key-will-do"),
        "openai_rate_limit": "20/s",
        # A doubt keeps its place for twenty minutes, or until a person settles it; io-sync has a thread for each place.
        "openai_concurrency": 24,
        "openai_total_s": 15.0,
        "clip_model": SMALL_MODEL,
        "lease_s": 3.0,
        # What a worker was sending when it died is in doubt when it could have no reply any more.
        "submit_total_s": 10.0,
        "unclaimed_s": 4.0,
        "listings_apart_s": 6.0,
    }
    return Settings().model_copy(update={**changes, **more})


def arm(url: str, *faults: dict[str, Any], seed: int = 1) -> None:
    body = json.dumps({"faults": faults, "seed": seed}).encode()
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(f"{url}/_sandbox/faults", data=body, headers=headers, method="POST")
    urllib.request.urlopen(request, timeout=60).close()


def calm(url: str) -> None:
    request = urllib.request.Request(f"{url}/_sandbox/faults", method="DELETE")
    urllib.request.urlopen(request, timeout=60).close()


def ordered(
    resources: Resources,
    wire: Wire,
    path: Path,
    prompts: Sequence[str],
    *,
    character: str | None = None,
    limit_usd: Decimal | None = None,
    max_tries: int | None = None,
    **settings: Any,
) -> Enqueued:
    """A batch named after the file, enqueued at one wire."""
    order = Order(
        name=path.stem,
        user_id="local",
        provider=wire.provider,
        prompts=read_prompts(write_prompts(path, prompts)),
        model=wire.model,
        character=character,
        settings={**wire.settings, **settings},
        limit_usd=limit_usd,
        try_policy=try_policy_of(max_tries=max_tries),
    )
    return commit(resources, prepare(resources, order))
