"""Plots: the right kind of file, everything said on it, the same figures the same file."""

import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from PIL import Image

from domain.errors import BadInput
from reports.plots import write_separation
from reports.separation import Cut, Separation


def separation(title: str, *, positives: Sequence[float] = (0.8, 0.9), now: float = 0.75) -> Separation:
    return Separation(
        title=title,
        positives=positives,
        negatives=(0.1, 0.2, 0.3),
        accepted_negatives=(0, 0, 1),
        accepted_positives=(0, 1, 1),
        auc="1.000 (0.900 to 1.000)",
        cuts=[
            ("recommended", Cut(score=0.55, false_reject=0, false_accept=0)),
            ("now", Cut(score=now, false_reject=0, false_accept=0)),
        ],
    )


def test_a_png_has_a_row_for_each_score(tmp_path: Path) -> None:
    one, two = tmp_path / "one.png", tmp_path / "two.PNG"
    write_separation(one, [separation("Core")], heading="Calibration", note="")
    write_separation(two, [separation("Core"), separation("Style")], heading="Calibration", note="")
    with Image.open(one) as first, Image.open(two) as second:
        assert first.format == second.format == "PNG"
        assert first.width == second.width > 1500
        assert second.height > 1.5 * first.height


def test_an_svg_is_drawn_twice_the_same(tmp_path: Path) -> None:
    first, second = tmp_path / "first.svg", tmp_path / "second.svg"
    for path in (first, second):
        write_separation(path, [separation("Core: is it Öse & <Co>?")], heading="Calibration of $x_1$", note="n = 5")
    assert first.read_bytes() == second.read_bytes()
    drawing = first.read_text()
    assert ET.fromstring(drawing).tag.endswith("svg")
    # Text is drawn as outlines, with what it says beside it.
    said = re.findall(r"<!-- (.+?) -->", drawing)
    assert {"Core: is it Öse &amp; &lt;Co&gt;?", "recommended 0.550", "now 0.750", "AUC 1.000 (0.900 to 1.000)"} <= set(
        said
    )
    assert "Calibration of $x_1$" in said, "a character's name is no formula"


@pytest.mark.parametrize("positives", [(0.3, 0.3), (-1.0, 1.0)])
def test_scores_all_alike_or_wide_apart_are_drawn(tmp_path: Path, positives: Sequence[float]) -> None:
    write_separation(
        tmp_path / "plot.svg", [separation("Core", positives=positives, now=-0.99)], heading="Calibration", note=""
    )
    assert (tmp_path / "plot.svg").stat().st_size > 0


@pytest.mark.parametrize("name", ["plot.jpg", "plot", "plot.png.txt"])
def test_another_ending_is_refused_before_anything_is_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match=r"a plot ends in \.png or \.svg"):
        write_separation(tmp_path / name, [separation("Core")], heading="Calibration", note="")
    assert not list(tmp_path.iterdir())
