"""The HTML report, a contact sheet that needs no server and no network: one file, or a folder beside it for many cards.

`cards` decides what is shown, `breakdowns` groups, `charts` draws, `wording` phrases, and `templates` has the layout.
Up to `MOST_ON_ONE_PAGE` cards stand in the page as HTML and need no script. Beyond, thumbnails are files, and the page
carries its cards as text that becomes HTML while somebody scrolls or chooses: a browser opens 10,000 of them at once.
"""

import json
import os
import re
import tempfile
from base64 import b64encode
from collections import Counter, defaultdict
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from statistics import median
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from reports import wording
from reports.breakdowns import durations, failure_classes, failures_chart, scores_by_theme
from reports.cards import (
    MOST_ON_ONE_PAGE,
    Card,
    axis_of,
    distinct_characters,
    distinct_themes,
    make_cards,
    show_references,
    worst_first,
)
from reports.charts import Score, histogram, spend_curve
from reports.records import GenerationLine, Report
from reports.tries import summarize_tries

TEMPLATES = Path(__file__).parent / "templates"
#: Cards of a large page that stand in it as HTML: what the first look at it shows.
_AT_FIRST = 60
#: Cards that the page's script reads together.
_BLOCK = 250
#: An attribute's value or a text, with what stands around it.
_VALUE = re.compile(r'"[^"]*"|>[^<]*<')
#: A value that so many cards have is written once.
_MANY = 8


def write_report(report: Report, path: Path, *, for_paper: bool = False) -> Path | None:
    """Write the contact sheet of `report` to `path` atomically.

    Missing or broken picture files are shown as missing, with the reason.

    Args:
        for_paper: every card and every picture is there from the start, however many there are.

    Returns:
        The folder of the thumbnails; None where they are in the page.

    Raises:
        OSError: the file cannot be written.
    """
    shown = sum(map(_has_something_to_show, report.generations))
    folder = path.with_name(f"{path.stem}_files") if shown > MOST_ON_ONE_PAGE else None
    write_page(render(report, folder=folder, lazily=not for_paper), path)
    return folder


def write_page(page: str, path: Path) -> None:
    """Write the page to `path` atomically, readable for everybody.

    Raises:
        OSError: the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(page)
        Path(draft).chmod(0o644)  # temporary files are private to their owner; a report is for sharing
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(dollars=wording.dollars, lasting=wording.duration_text, moment=wording.moment)
    return environment


def render(report: Report, *, folder: Path | None = None, lazily: bool = True) -> str:
    """The contact sheet as HTML.

    Args:
        folder: beside the page, gets the thumbnails; None for a page in one piece, which has pictures for its first
            `MOST_ON_ONE_PAGE` cards.
        lazily: cards and pictures of a large page are made while somebody scrolls.
    """
    environment = _environment()
    script = (TEMPLATES / "report.js").read_text(encoding="utf-8")
    told = sorted((line for line in report.generations if _has_something_to_show(line)), key=worst_first)
    waiting = [line for line in report.generations if not _has_something_to_show(line)]
    waiting.sort(key=lambda line: (line.state is not wording.S.IN_DOUBT, line.position))  # these may have been charged
    axis = axis_of(told)
    cards = list(make_cards(told, axis=axis, batch=report.name, character=report.character, folder=folder))
    if not lazily:
        cards = [card.at_once for card in cards]
    at_first = _AT_FIRST if lazily and len(cards) > MOST_ON_ONE_PAGE else len(cards)
    classes = failure_classes(report.generations)
    return environment.get_template("report.html.j2").render(
        report=report,
        outcome=wording.outcome(report),
        ends=_ends(report),
        references=show_references(report.references),
        scores=_histogram(told),
        themed=scores_by_theme(told) if len(distinct_themes(report)) > 1 else None,
        durations=durations(report.generations),
        classes=classes,
        failures=failures_chart(classes),
        spend=_spend(report),
        loop=summarize_tries(report),
        cards=cards[:at_first],
        later=_later(environment, cards[at_first:]),
        shown=Counter(card.end for card in cards),
        scored=any(card.bars for card in cards),
        waiting=waiting,
        themes=distinct_themes(report),
        characters=distinct_characters(report),
        policy="data:" if folder is None else "data: 'self' file:",
        axis=axis,
        ratio=_ratio(told),
        style=Markup((TEMPLATES / "report.css").read_text(encoding="utf-8")),  # noqa: S704 - a file of ours
        script=Markup(script),  # noqa: S704 - a file of ours
        script_digest=b64encode(sha256(script.encode()).digest()).decode(),
    )


def _later(environment: Environment, cards: Sequence[Card]) -> Markup | None:
    """Cards as data for the page's script: first what they are chosen by, then blocks of their HTML."""
    if not cards:
        return None
    draw = vars(environment.get_template("cards.html.j2").module)["draw_card"]
    choices = {"names": list(cards[0].choices), "rows": [list(card.choices.values()) for card in cards]}
    shared, packed = pack([str(draw(card)).strip() for card in cards])
    blocks = [packed[start : start + _BLOCK] for start in range(0, len(packed), _BLOCK)]
    return Markup().join([_data("later", choices), _data("shared", shared), *(_data("block", one) for one in blocks)])


def pack(drawn: Sequence[str]) -> tuple[dict[str, list[str]], list[list[int | str]]]:
    """HTML of many cards without its repetitions, of which a browser would read 20 MiB for 10,000 of them.

    Returns:
        What the cards share: their markup with a NUL for each value in it, and values that many of them have. Then for
        each card the number of its markup and its values; a number stands for a shared one.
    """
    by_markup: dict[str, list[tuple[int, list[str]]]] = defaultdict(list)
    for place, html in enumerate(drawn):
        values = [found[1:-1] for found in _VALUE.findall(html)]
        by_markup[_VALUE.sub(lambda found: f"{found[0][0]}\0{found[0][-1]}", html)].append((place, values))
    markups: list[str] = []
    told: dict[int, tuple[int, list[str]]] = {}
    for markup, some in by_markup.items():
        # What all of them have in a place belongs to the markup.
        columns = [set(column) for column in zip(*(values for _, values in some), strict=True)]
        fixed = [next(iter(column)) if len(column) == 1 else "\0" for column in columns]
        for place, values in some:
            told[place] = len(markups), [v for v, column in zip(values, columns, strict=True) if len(column) > 1]
        first, *rest = markup.split("\0")
        markups.append(first + "".join(f"{value}{part}" for value, part in zip(fixed, rest, strict=True)))
    counts = Counter(value for _, values in told.values() for value in values)
    common = {value: at for at, (value, count) in enumerate(counts.most_common()) if count >= _MANY}
    packed = [[markup, *(common.get(value, value) for value in values)] for _, (markup, values) in sorted(told.items())]
    return {"markups": markups, "values": list(common)}, packed


def _data(kind: str, content: Any) -> Markup:
    """An element of data; `<` is written so that nothing in the content ends it."""
    told = json.dumps(content, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return Markup(f'<script type="application/json" data-kind="{kind}">{told}</script>')  # noqa: S704 - see above


def _has_something_to_show(line: GenerationLine) -> bool:
    return bool(line.assets) or wording.end_of(line.state) != "unfinished"


def _ends(report: Report) -> dict[str, int]:
    """Number of generations per end state, in the order of the page."""
    ends = dict.fromkeys(("accepted", "rejected", "failed", "canceled", "unfinished"), 0)
    for state, number in report.counts.items():
        ends[wording.end_of(wording.S(state))] += number
    return ends


def _histogram(generations: Sequence[GenerationLine]) -> Markup | None:
    pictures = [(line, asset) for line in generations for asset in line.assets]
    scores = [Score(value=asset.core, best=asset is line.best) for line, asset in pictures if asset.core is not None]
    thresholds = Counter(asset.core_threshold for _, asset in pictures if asset.core is not None)
    if not scores:
        return None
    # Different thresholds cannot be drawn as one line.
    return histogram(scores, threshold=next(iter(thresholds)) if len(thresholds) == 1 else None)


def _spend(report: Report) -> Markup | None:
    if not report.spend:
        return None
    return spend_curve(report.spend, began=report.created_at, wall_s=report.wall_s, limit=report.limit_usd)


def _ratio(generations: Sequence[GenerationLine]) -> float:
    """The most common aspect ratio, so that the grid wastes little space."""
    bests = [line.best for line in generations]
    ratios = [best.width / best.height for best in bests if best is not None and best.width and best.height]
    return round(min(max(median(ratios), 0.66), 1.78), 3) if ratios else 1.0
