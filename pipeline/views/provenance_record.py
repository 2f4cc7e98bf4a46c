"""What the books say of a picture, as the record that goes along with its file: `reports.provenance` writes it.

The record leaves the house with the picture, so it names nobody's user and no address with a signature in it.
"""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from db.reads.generations import GenerationDetails
from domain.escalation import merged
from domain.money import show
from pipeline.characters.threshold_origin import describe_verdict
from pipeline.views.generations import labels

#: Of the record's keys; another number means that a reader must look again.
_VERSION: Final = 1
_SEED: Final = re.compile(r"--seed\s+(\d+)")
_SCORES: Final = ("core", "core_threshold", "style", "style_threshold", "style_decides", "passed", "threshold_version")


def record_of(details: GenerationDetails, asset: Mapping[str, Any], *, batch: str) -> dict[str, Any]:
    """The record of one picture of a generation, without the digests of its file.

    Args:
        asset: its row.
        batch: the batch's name.
    """
    row = details.generation
    attempt = next(one for one in details.attempts if one["id"] == asset["attempt_id"])
    settings = merged(row["settings"], attempt["changes"])
    return {
        "likeness": _VERSION,
        "batch": batch,
        "batch_id": str(row["batch_id"]),
        "generation_id": str(row["id"]),
        "row": row["position"],
        "attempt": attempt["number"],
        "picture": labels(details)[asset["id"]],
        "theme": row["theme"],
        "variation": row["variation"],
        "prompt": row["prompt"],
        "sent_prompt": _without_signatures(attempt["sent_prompt"]),
        "provider": attempt["provider"],
        "model": attempt["model"],
        "seed": _seed(settings, attempt["sent_prompt"]),
        "settings": _without_signatures(settings),
        "job_id": attempt["job_id"],
        "made_at": None if attempt["made_at"] is None else attempt["made_at"].isoformat(timespec="seconds"),
        "cost_usd": show(attempt["charged_usd"]),
        "generation_cost_usd": show(row["cost"]),
        "state": row["state"],
        "checks": [_check(verdict) for verdict in details.verdicts.get(asset["id"], [])],
        "text_alignment": asset["text_alignment"],
        "media_type": asset["media_type"],
        "width": asset["width"],
        "height": asset["height"],
        "cut_from_grid": bool(asset["metadata"].get("cut_from_grid")),
    }


def _check(verdict: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "character": verdict["character"],
        **{name: verdict[name] for name in _SCORES},
        "thresholds": describe_verdict(dict(verdict)),
        "scored_by": verdict["origin"],
    }


def _seed(settings: Mapping[str, Any], sent: str | None) -> int | None:
    """The seed as it was wished for; else the one among the flags of what was sent."""
    wished = settings.get("seed")
    if wished is not None:
        return int(wished)
    found = _SEED.search(sent or "")
    return int(found[1]) if found else None


def _without_signatures(value: Any) -> Any:
    """The same, in which no address has a query: that of a private picture is the key to it."""
    if isinstance(value, str):
        return " ".join(map(_plain_address, value.split(" "))) if "://" in value else value
    if isinstance(value, Mapping):
        return {name: _without_signatures(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_signatures(one) for one in value]
    return value


def _plain_address(word: str) -> str:
    if not word.startswith(("http://", "https://")):
        return word
    try:
        parts = urlsplit(word)
    except ValueError:
        return "an address"
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment=""))
