"""Calibration plots: how well two sets of scores separate, and the errors at each threshold.

The only module that uses matplotlib. The charts of the contact sheet are inline SVG (`reports/charts.py`), so that they
follow the page's dark or light colours.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from domain.errors import BadInput
from reports.separation import Cut, Separation

ENDINGS = (".png", ".svg")

# The light colours of the contact sheet.
_INK, _SOFT, _LINE, _PAPER, _CARD = "#1f1d1a", "#625d54", "#ddd8cd", "#f6f4ef", "#fffefb"
_POSITIVE, _NEGATIVE = "#2f9463", "#d97a2b"
_BINS = 32
# matplotlib checks the keys; their type is private.
_STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 9.5,
    "text.color": _INK,
    "axes.edgecolor": _LINE,
    "axes.labelcolor": _SOFT,
    "axes.facecolor": _CARD,
    "axes.titlecolor": _INK,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.titlepad": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": _SOFT,
    "ytick.color": _SOFT,
    "figure.facecolor": _PAPER,
    "svg.hashsalt": "likeness",
    "text.parse_math": False,
}


def write_separation(path: Path, rows: Sequence[Separation], *, heading: str, note: str) -> None:
    """Draw two histograms and a ROC curve per row into `path`, in the format of its extension.

    Raises:
        BadInput: the ending is none of `ENDINGS`.
        OSError: the file cannot be written.
    """
    check_ending(path)
    with mpl.rc_context(_STYLE):
        layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1, wspace=0.05, hspace=0.06)
        figure = Figure(figsize=(10.5, 1.1 + 3.6 * len(rows)), layout=layout)
        figure.suptitle(heading, x=0.012, ha="left", fontsize=15, fontweight="bold")
        figure.supxlabel(note, x=0.012, ha="left", fontsize=8.5, color=_SOFT)
        grid = figure.subplots(len(rows), 2, squeeze=False, width_ratios=(1.75, 1))
        for (left, right), row in zip(grid, rows, strict=True):
            _histograms(left, row)
            _roc(right, row)
        # No date, so that the same figures give the same file.
        figure.savefig(path, dpi=180, metadata={"Date": None} if path.suffix.lower() == ".svg" else None)


def check_ending(path: Path) -> None:
    """Check that a plot can be written to `path`.

    Raises:
        BadInput: the ending is none of `ENDINGS`.
    """
    if path.suffix.lower() not in ENDINGS:
        raise BadInput(f"a plot ends in {' or '.join(ENDINGS)}, not {path.suffix or 'in nothing'!r}")


def _histograms(axes: Axes, row: Separation) -> None:
    """Both sets on one scale, each in percent of itself, so that a large set does not hide a small one."""
    low = min(*row.positives, *row.negatives, *(cut.score for _, cut in row.cuts))
    high = max(*row.positives, *row.negatives, *(cut.score for _, cut in row.cuts))
    room = max(high - low, 0.02) * 0.03
    bins = np.linspace(low - room, high + room, _BINS + 1)
    for scores, colour, name in (
        (row.negatives, _NEGATIVE, f"other pictures ({len(row.negatives)})"),
        (row.positives, _POSITIVE, f"the character ({len(row.positives)})"),
    ):
        shares = np.histogram(scores, bins)[0] / len(scores) * 100
        axes.stairs(shares, bins, fill=True, color=colour, alpha=0.45)
        axes.stairs(shares, bins, color=colour, linewidth=1.4, label=name)
    axes.set(title=row.title, xlabel="score", ylabel="share of each set, %", xlim=(bins[0], bins[-1]))
    axes.margins(y=0.3)
    axes.yaxis.grid(visible=True, color=_LINE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.legend(
        facecolor=_CARD, edgecolor="none", framealpha=1, loc="upper left", ncols=2, borderaxespad=0, labelcolor=_INK
    )
    _name_cuts(axes, row.cuts, low=bins[0], high=bins[-1])


def _name_cuts(axes: Axes, cuts: Sequence[tuple[str, Cut]], *, low: float, high: float) -> None:
    """A line per cut, labelled on the side where the other label is not."""
    middle = sum(cut.score for _, cut in cuts) / len(cuts)
    for step, (name, cut) in enumerate(cuts):
        axes.axvline(cut.score, color=_INK, linewidth=1.3, linestyle="--" if step else "-")
        place = (cut.score - low) / (high - low)
        to_the_left = (cut.score < middle and place > 0.3) or place > 0.72
        axes.annotate(
            f"{name} {cut.score:.3f}",
            # One below the other, because two cuts may be close together.
            (cut.score, 0.83 - 0.09 * step),
            xycoords=("data", "axes fraction"),
            xytext=(-6 if to_the_left else 6, 0),
            textcoords="offset points",
            ha="right" if to_the_left else "left",
            fontsize=9,
            bbox={"facecolor": _CARD, "edgecolor": "none", "pad": 1},
        )


def _roc(axes: Axes, row: Separation) -> None:
    across = [100 * share for share in row.accepted_negatives]
    up = [100 * share for share in row.accepted_positives]
    axes.plot((0, 100), (0, 100), color=_LINE, linewidth=1)
    axes.fill_between(across, up, color=_POSITIVE, alpha=0.10, linewidth=0)
    axes.plot(across, up, color=_POSITIVE, linewidth=2, clip_on=False)
    for step, (name, cut) in enumerate(row.cuts):
        axes.plot(
            100 * cut.false_accept,
            100 - 100 * cut.false_reject,
            # A ring around the dot, so that both show at the same place.
            **({"markersize": 10, "markerfacecolor": "none"} if step else {"markersize": 5.5}),
            marker="o",
            color=_INK,
            linestyle="none",
            clip_on=False,
            zorder=3,
            label=name,
        )
    axes.set(title=f"AUC {row.auc}", xlabel="others accepted, %", ylabel="the character accepted, %")
    axes.set(xlim=(0, 100), ylim=(0, 100), aspect="equal")
    axes.legend(frameon=False, loc="lower right", handlelength=0.8, labelcolor=_INK)
