"""Cards of the contact sheet: one per generation, worst first, with its pictures and its verdict in words."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from reports.records import AssetLine, GenerationLine, Picture, Report
from reports.thumbnails import Thumbnail, Wanted, fitting_side, make_thumbnails, share, store_thumbnails
from reports.tries import sentences
from reports.wording import dollars, duration_text, end_of, verdict

#: A page of more cards has its thumbnails as files in a folder, and makes its cards while somebody scrolls.
MOST_ON_ONE_PAGE: Final = 600
_LARGE_PX = 640
_SMALL_PX = 360
#: As files: a thumbnail costs no other one its bytes, but there may be 40,000.
_LARGE_FILE_PX, _LARGE_FILE_BYTES = 400, 30_000
_SMALL_FILE_PX, _SMALL_FILE_BYTES = 180, 8_000
_NOT_ON_ONE_PAGE: Final = "too many for one file; `likeness report` shows it"
_REFERENCE_PX = 240
_REFERENCE_BYTES = 30_000
_ORDER = ("failed", "canceled", "rejected", "unfinished", "accepted")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A score as a bar with a tick at its threshold; `fill` and `tick` are percent of its width.

    Args:
        decides: whether the threshold decides or is advisory.
    """

    name: str
    score: str
    threshold: str
    fill: float
    tick: float
    passed: bool
    decides: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownPicture:
    """A picture on the page, or the reason why it is missing.

    Args:
        lazy: whether it is loaded when somebody scrolls to it.
    """

    thumbnail: Thumbnail | None
    reason: str | None
    alt: str
    caption: str
    link: str | None
    end: str
    lazy: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One generation on the page.

    Args:
        address: BATCH/ROW, as commands take it.
        index: the user's own number of the row, or None.
        choices: what the page filters and orders by, by the names of its data attributes.
    """

    anchor: str
    address: str
    index: str | None
    heading: str
    end: str
    verdict: str
    error_code: str | None
    prompt: str
    best: ShownPicture | None
    others: Sequence[ShownPicture]
    bars: Sequence[Bar]
    facts: Sequence[str]
    tries: Sequence[str]
    choices: Mapping[str, str] = field(default_factory=dict)

    @property
    def at_once(self) -> "Card":
        """The same card with pictures that are loaded with the page."""
        best = self.best and replace(self.best, lazy=False)
        return replace(self, best=best, others=[replace(other, lazy=False) for other in self.others])


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """The range of scores that the bars cover, chosen to fit the scores of this page."""

    low: float
    high: float

    def share(self, score: float) -> float:
        """How far along the bar `score` lies, in percent."""
        return round(min(max((score - self.low) / (self.high - self.low), 0.0), 1.0) * 100, 1)


def worst_first(generation: GenerationLine) -> tuple[int, float, int]:
    """Sort key: failed, canceled, rejected by margin, unfinished, accepted by core score."""
    end = end_of(generation.state)
    best = generation.best
    worth = 0.0
    if best is not None and end == "rejected":
        worth = best.margin if best.margin is not None else 0.0
    elif best is not None and end == "accepted":
        worth = best.core if best.core is not None else 1.0
    return _ORDER.index(end), worth, generation.position


def axis_of(generations: Sequence[GenerationLine]) -> Axis:
    """From just below the lowest score or threshold to 1; from 0 where the scores spread widely."""
    values = [
        value
        for generation in generations
        for asset in generation.assets
        for value in (asset.core, asset.style, asset.core_threshold, asset.style_threshold)
        if value is not None
    ]
    low = min(values, default=0.0)
    floor = int((low - 0.02) * 20) / 20 if low > 0.3 else 0.0
    return Axis(low=floor, high=max(1.0, max(values, default=1.0)))


def make_cards(
    generations: Sequence[GenerationLine], *, axis: Axis, batch: str, character: str | None, folder: Path | None = None
) -> Iterator[Card]:
    """One card per generation, in the order given; reads the picture files.

    Args:
        folder: where thumbnails are stored as files; None for data URLs, which only the first cards of many get.
    """
    shown = generations if folder is not None else generations[:MOST_ON_ONE_PAGE]
    wanted = _wanted(shown, as_files=folder is not None)
    some = list(wanted.values())
    made = dict(zip(wanted, make_thumbnails(some) if folder is None else store_thumbnails(some, folder), strict=True))
    for place, generation in enumerate(generations):
        pictures = [
            _shown(
                asset,
                made.get((place, number)),
                generation,
                why_not=None if place < len(shown) else _NOT_ON_ONE_PAGE,
                lazy=folder is not None,
            )
            for number, asset in enumerate(generation.assets)
        ]
        yield _card(generation, pictures, rank=place, axis=axis, batch=batch, character=character)


def _wanted(generations: Sequence[GenerationLine], *, as_files: bool) -> dict[tuple[int, int], Wanted]:
    """The thumbnails to make, by the places of generation and picture."""
    bests = sum(generation.best is not None for generation in generations)
    others = sum(len(generation.assets) for generation in generations) - bests
    large_bytes, small_bytes = share(large=len(generations), small=others)
    large = Wanted(path=Path(), side_px=fitting_side(large_bytes, most_px=_LARGE_PX), limit_bytes=large_bytes)
    small = Wanted(path=Path(), side_px=fitting_side(small_bytes, most_px=_SMALL_PX), limit_bytes=small_bytes)
    if as_files:
        large = Wanted(path=Path(), side_px=_LARGE_FILE_PX, limit_bytes=_LARGE_FILE_BYTES)
        small = Wanted(path=Path(), side_px=_SMALL_FILE_PX, limit_bytes=_SMALL_FILE_BYTES)
    return {
        (place, number): replace(large if asset is generation.best else small, path=asset.path)
        for place, generation in enumerate(generations)
        for number, asset in enumerate(generation.assets)
        if asset.path is not None
    }


def show_references(references: Sequence[Picture]) -> list[ShownPicture]:
    """Thumbnails of the character's references."""
    wanted = [
        Wanted(path=picture.path, side_px=_REFERENCE_PX, limit_bytes=_REFERENCE_BYTES)
        for picture in references
        if picture.path is not None
    ]
    made = iter(make_thumbnails(wanted))
    shown = []
    for picture in references:
        thumbnail = next(made) if picture.path is not None else None
        reason = None if thumbnail else "not on this machine"
        shown.append(
            ShownPicture(
                thumbnail=thumbnail, reason=reason, alt=picture.label, caption=picture.label, link=None, end="plain"
            )
        )
    return shown


def distinct_themes(report: Report) -> list[str]:
    """Themes in the order of the file."""
    ordered = sorted(report.generations, key=lambda generation: generation.position)
    return list(dict.fromkeys(generation.theme for generation in ordered if generation.theme))


def distinct_characters(report: Report) -> list[str]:
    """Everybody whom a picture of the batch must show, in the order of the file."""
    ordered = sorted(report.generations, key=lambda generation: generation.position)
    return list(dict.fromkeys(name for generation in ordered for name in generation.characters))


def _card(
    generation: GenerationLine,
    pictures: Sequence[ShownPicture],
    *,
    rank: int,
    axis: Axis,
    batch: str,
    character: str | None,
) -> Card:
    best = generation.best
    shown = [(asset is best, picture) for asset, picture in zip(generation.assets, pictures, strict=True)]
    heading = " · ".join(filter(None, [generation.theme, generation.variation]))
    return Card(
        anchor=f"g{generation.position}",
        address=f"{batch}/{generation.position}",
        index=generation.index,
        heading=heading or character or "Untitled",
        end=end_of(generation.state),
        verdict=verdict(generation),
        error_code=generation.error_code if end_of(generation.state) == "failed" else None,
        prompt=generation.prompt,
        best=next((picture for is_best, picture in shown if is_best), None),
        others=[picture for is_best, picture in shown if not is_best],
        bars=_bars(best, axis=axis) if best is not None else [],
        facts=_facts(generation),
        tries=sentences(generation),
        choices=_choices(generation, rank=rank),
    )


def _choices(generation: GenerationLine, *, rank: int) -> dict[str, str]:
    best = generation.best
    margin = best.margin if best is not None else None
    core = best.core if best is not None else None
    return {
        "end": end_of(generation.state),
        "theme": generation.theme or "",
        "characters": json.dumps(list(generation.characters)),
        "core": "" if core is None else f"{core:.6f}",
        "position": str(generation.position),
        "rank": str(rank),
        "score": "-9" if margin is None else f"{margin:.6f}",
        "cost": str(float(generation.cost_usd)),
    }


def _shown(
    asset: AssetLine, thumbnail: Thumbnail | None, generation: GenerationLine, *, why_not: str | None, lazy: bool
) -> ShownPicture:
    number = f"Picture {asset.label or asset.position}"
    style = "style" if asset.style_decides else "advisory style"
    scores = [
        f"{name} {score:.2f}" for name, score in (("core", asset.core), (style, asset.style)) if score is not None
    ]
    outcome = {True: "passes", False: "does not pass", None: ""}[asset.passed]
    row = f"row {generation.position}"
    by = f" by {asset.aligned_by}" if asset.aligned_by else ""
    prompt = "" if asset.text_alignment is None else f"prompt {asset.text_alignment:.2f}{by}"
    like = f"too like {asset.like}" if asset.like else ""
    caption = ", ".join(filter(None, [number, *scores, prompt, outcome, like]))
    # Only http(s) addresses become links: a `javascript:` URL would run when clicked.
    link = asset.url if asset.url and asset.url.startswith(("https://", "http://")) else None
    reason = None
    if thumbnail is None:
        gone = "the file is not on this machine" if asset.path is None else "the file is gone"
        reason = asset.missing_reason or why_not or gone
    return ShownPicture(
        thumbnail=thumbnail,
        reason=reason,
        alt=f"{caption}; {row}",
        caption=caption,
        link=link,
        end={True: "accepted", False: "rejected", None: "plain"}[asset.passed],
        lazy=lazy,
    )


def _bars(asset: AssetLine, *, axis: Axis) -> list[Bar]:
    bars = []
    for name, score, threshold, decides in (
        ("Core", asset.core, asset.core_threshold, True),
        ("Style", asset.style, asset.style_threshold, asset.style_decides),
    ):
        if score is not None and threshold is not None:
            places = 2 if f"{score:.2f}" != f"{threshold:.2f}" or score >= threshold else 4
            bars.append(
                Bar(
                    name=name,
                    score=f"{score:.{places}f}",
                    threshold=f"{threshold:.{places}f}",
                    fill=axis.share(score),
                    tick=axis.share(threshold),
                    passed=score >= threshold,
                    decides=decides,
                )
            )
    return bars


def _facts(generation: GenerationLine) -> list[str]:
    made = " by ".join(filter(None, [generation.model, generation.provider]))
    facts = [dollars(generation.cost_usd)]
    if generation.duration_s is not None:
        facts.append(duration_text(generation.duration_s))
    if made:
        facts.append(made)
    if generation.best is not None and generation.best.like:
        facts.append(f"too like {generation.best.like}")
    if generation.tries > 1:
        facts.append(f"{generation.tries} tries")
    return facts
