"""The HTML report, a contact sheet: one self-contained file that needs no server, no network and no script.

`cards` decides what is shown, `charts` draws, `wording` phrases, and `templates` has the layout.
"""

import os
import tempfile
from base64 import b64encode
from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from statistics import median

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from reports import wording
from reports.cards import MOST_CARDS, axis_of, distinct_themes, make_cards, show_references, worst_first
from reports.charts import Score, histogram, spend_curve
from reports.records import GenerationLine, Report
from reports.tries import summarize_tries

TEMPLATES = Path(__file__).parent / "templates"
#: Generations without a picture are listed by their prompts, up to this many.
_MOST_WAITING = 200


def write_report(report: Report, path: Path) -> None:
    """Write the contact sheet of `report` to `path` atomically.

    Missing or broken picture files are shown as missing, with the reason.

    Raises:
        OSError: the file cannot be written.
    """
    write_page(render(report), path)


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


def render(report: Report) -> str:
    """The contact sheet as HTML."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(dollars=wording.dollars, lasting=wording.duration_text, moment=wording.moment)
    script = (TEMPLATES / "report.js").read_text(encoding="utf-8")
    told = sorted((line for line in report.generations if _has_something_to_show(line)), key=worst_first)
    waiting = [line for line in report.generations if not _has_something_to_show(line)]
    waiting.sort(key=lambda line: (line.state is not wording.S.IN_DOUBT, line.position))  # these may have been charged
    shown = told[:MOST_CARDS]
    axis = axis_of(shown)
    return environment.get_template("report.html.j2").render(
        report=report,
        outcome=wording.outcome(report),
        ends=_ends(report),
        references=show_references(report.references),
        scores=_histogram(told),
        spend=_spend(report),
        loop=summarize_tries(report),
        cards=make_cards(shown, axis=axis, batch=report.name, character=report.character),
        unshown=len(told) - len(shown),
        waiting=waiting[:_MOST_WAITING],
        waiting_total=len(waiting),
        themes=distinct_themes(report),
        axis=axis,
        ratio=_ratio(shown),
        style=Markup((TEMPLATES / "report.css").read_text(encoding="utf-8")),  # noqa: S704 - a file of ours
        script=Markup(script),  # noqa: S704 - a file of ours
        script_digest=b64encode(sha256(script.encode()).digest()).decode(),
    )


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
