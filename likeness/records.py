"""What a script is told: frozen records of a batch's progress, its generations and checked files."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from pipeline.views.status import BatchStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a batch is.

    Args:
        counts: generations by state, every state named.
        accepted: generations whose picture is stored and passed its check, or had nothing to pass.
        over: nothing will move any more without a person: all final, stopped by its budget, or paused.
        stopped, paused: why, or None.
    """

    total: int
    counts: Mapping[str, int]
    accepted: int
    charged_usd: Decimal
    held_usd: Decimal
    in_doubt_usd: Decimal
    limit_usd: Decimal | None
    over: bool
    stopped: str | None
    paused: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One generation, as it stands.

    Args:
        row: of the prompts as they were given, from 0.
        picture: the best picture's file, or None where there is none on this machine.
        url: where the original of that picture can be read, or None.
        core, style: scores of that picture, cosines in [-1, 1]; None without a character.
        error: why there is no accepted picture, or None.
    """

    row: int
    prompt: str
    theme: str | None
    variation: str | None
    state: str
    accepted: bool
    picture: Path | None
    url: str | None
    core: float | None
    style: float | None
    cost_usd: Decimal
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedPicture:
    """One file, as `Connection.validate` found it.

    Args:
        core, style: scores, cosines in [-1, 1]; None where the file could not be checked.
        core_threshold, style_threshold: what they were held against.
        style_decides: whether the style threshold is more than advice.
        threshold_version: the character's version of them; thresholds named in the call stand in for some of its.
        thresholds_from: `default threshold`, `calibrated (...)`, or who set them.
        error: why the file could not be checked, or None.
    """

    path: Path
    passed: bool
    core: float | None
    style: float | None
    core_threshold: float
    style_threshold: float
    style_decides: bool
    threshold_version: int
    thresholds_from: str
    error: str | None


def progress_of(now: BatchStatus) -> Progress:
    return Progress(
        total=now.progress.total,
        counts=now.progress.counts,
        accepted=now.accepted,
        charged_usd=now.batch.charged_usd,
        held_usd=now.batch.held_usd,
        in_doubt_usd=now.batch.in_doubt_usd,
        limit_usd=now.batch.limit_usd,
        over=now.over,
        stopped=now.batch.stopped_reason,
        paused=now.batch.paused_reason,
    )
