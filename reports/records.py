"""Plain records that reports are made from; `pipeline.views.report` fills them from the database.

Independent of tables, file formats and layout. Money is in US dollars; times have a time zone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from domain.states import GenerationState


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture without scores, such as a reference of the character.

    Args:
        path: the stored file, or None where it is not on this machine.
        label: alternative text.
    """

    path: Path | None
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetLine:
    """One picture of the attempt that represents its generation.

    Args:
        position: 0-based among the pictures of the attempt.
        label: its number in commands, `1`, or `2.1` where several attempts have pictures; None for its position.
        path: the stored file, or None where it is not on this machine.
        url: public address of the original, or None.
        width, height: of the original in pixels; None where it was not collected.
        best: whether it is the best picture of the attempt.
        finished: whether finishing made it from an accepted one.
        core, style: scores, cosines in [-1, 1]; None where nothing was checked.
        core_threshold, style_threshold: the thresholds in force when it was checked.
        style_decides: whether the style threshold decided or was advisory.
        passed: the verdict, or None without one.
        text_alignment: cosine of the picture with its prompt, or None.
        aligned_by: the model of `text_alignment`, where it is not the one that made the scores.
        like: what it nearly duplicates, such as `row 3`, or None.
        missing_reason: why there is no file; a sentence without full stop.
    """

    position: int
    label: str | None = None
    path: Path | None = None
    url: str | None = None
    width: int | None = None
    height: int | None = None
    best: bool = False
    finished: bool = False
    core: float | None = None
    core_threshold: float | None = None
    style: float | None = None
    style_threshold: float | None = None
    style_decides: bool = True
    passed: bool | None = None
    text_alignment: float | None = None
    aligned_by: str | None = None
    like: str | None = None
    missing_reason: str | None = None

    @property
    def margin(self) -> float | None:
        """The smallest distance to a deciding threshold, negative when one is missed; None without a verdict."""
        style = (self.style, self.style_threshold) if self.style_decides else (None, None)
        pairs = ((self.core, self.core_threshold), style)
        distances = [score - threshold for score, threshold in pairs if score is not None and threshold is not None]
        return min(distances, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class TryLine:
    """One try of a generation.

    Args:
        number: from 1.
        changed: the difference from the try before, such as `cw 75 → 100`; None for the first, and for a plain retry.
        kind: the category under which `changed` is counted over a batch.
        core, style: scores of its best picture; None before its verdict.
        accepted: whether it was accepted.
        failed: why it will never have a verdict; a sentence without full stop.
        waits_for_usd: the hold it waits for; None once it has begun.
    """

    number: int
    changed: str | None = None
    kind: str | None = None
    core: float | None = None
    style: float | None = None
    accepted: bool = False
    cost_usd: Decimal = Decimal(0)
    failed: str | None = None
    waits_for_usd: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationLine:
    """One generation of a report.

    Args:
        position: 0-based within the batch.
        index: the user's own number of the row, or None.
        task_id: the provider's id of the job that was charged last, or None.
        cost_usd: total charged over all attempts.
        duration_s: from the first submission to the final state, or None.
        tries: attempts that reached the provider.
        error_code, error_message: of a failure; the message is for users.
        finished_at: when the final state was reached, or None.
        characters: names of those whom its picture must show, the main one first.
        stage_s: seconds that each stage took, all attempts together, in the order of the stages.
        assets: pictures of the attempt that represents the generation, in order, and what the best was finished to.
        tried: every try that was judged, is running or waits, in order.
    """

    position: int
    prompt: str
    state: GenerationState
    index: str | None = None
    theme: str | None = None
    variation: str | None = None
    provider: str | None = None
    model: str | None = None
    task_id: str | None = None
    cost_usd: Decimal = Decimal(0)
    duration_s: float | None = None
    tries: int = 0
    error_code: str | None = None
    error_message: str | None = None
    finished_at: datetime | None = None
    characters: Sequence[str] = ()
    stage_s: Mapping[str, float] = field(default_factory=dict)
    assets: Sequence[AssetLine] = ()
    tried: Sequence[TryLine] = ()

    @property
    def best(self) -> AssetLine | None:
        """The picture marked best, else the first."""
        return next((asset for asset in self.assets if asset.best), next(iter(self.assets), None))


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A snapshot of one batch.

    Args:
        batch_id: as users type it.
        name: of the batch; `title` is the heading of the page.
        finished_at: None while a generation is live.
        wall_s: seconds from the first submission to the end, or to now.
        character: its name, or None for a batch without one.
        counts: generations by state; absent states count zero.
        total: generations of the batch; `generations` may hold fewer.
        accepted: generations in state `completed`.
        limit_usd: the budget, or None without a limit.
        avg_cost_per_image_usd: charged over accepted, or None before the first.
        usd_per_call: charged over charged calls, or None before the first.
        spend: running total at the time of each charge, in order of time.
        thresholds: the thresholds and their origin; a sentence without full stop, or None.
        remark: a sentence shown behind the outcome, or None.
        overdue: a sentence for each job that takes too long.
    """

    batch_id: str
    name: str
    title: str
    created_at: datetime
    finished_at: datetime | None = None
    wall_s: float
    character: str | None = None
    references: Sequence[Picture] = ()
    counts: Mapping[str, int]
    total: int
    accepted: int
    charged_usd: Decimal
    held_usd: Decimal = Decimal(0)
    in_doubt_usd: Decimal = Decimal(0)
    limit_usd: Decimal | None = None
    avg_cost_per_image_usd: Decimal | None = None
    usd_per_call: Decimal | None = None
    generations: Sequence[GenerationLine] = ()
    spend: Sequence[tuple[datetime, Decimal]] = ()
    thresholds: str | None = None
    remark: str | None = None
    overdue: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A snapshot of a batch's progress.

    Args:
        counts: generations by state; absent states count zero.
        rate_per_minute: generations that reached a final state in the last minute.
        eta_s: seconds until all are final at that rate; None where unknown.
    """

    name: str
    total: int
    counts: Mapping[str, int]
    charged_usd: Decimal
    held_usd: Decimal = Decimal(0)
    in_doubt_usd: Decimal = Decimal(0)
    limit_usd: Decimal | None = None
    rate_per_minute: float = 0.0
    eta_s: float | None = None
