"""The page of a comparison in a real browser: no complaint, no request, and no winner at one repeat."""

from decimal import Decimal
from pathlib import Path

import pytest
from PIL import Image

from domain.states import GenerationState
from reports.comparison_page import CaseFigures, Comparison, Span, write_comparison
from reports.records import AssetLine, GenerationLine, Picture
from tests.support.browser import Browser, browser

NASTY = "<img src=http://127.0.0.1:9/x onerror=alert(1)><script>alert(1)</script> שלום 🐷 " + "long" * 300
CASES = ("no reference", "weight 50", "weight 75", "weight 100", "2 references")


def _page(folder: Path) -> Path:
    """A reference test of one repeat: five pictures, and what `pipeline.comparison.results` says of so few."""
    picture = folder / "picture.png"
    Image.linear_gradient("L").resize((512, 512)).convert("RGB").save(picture)

    def line(position: int) -> GenerationLine:
        asset = AssetLine(
            position=0, path=picture, best=True, core=0.5 + position / 10, core_threshold=0.75, passed=True
        )
        return GenerationLine(position=position, prompt=NASTY, state=GenerationState.COMPLETED, assets=[asset])

    figures = [
        CaseFigures(
            name=name,
            asked=NASTY,
            total=1,
            judged=1,
            accepted=1,
            share=Span(low=0.2, high=1),
            mean=0.5 + at / 10,
            span=None,
            follows=0.3,
            charged_usd=Decimal("0.40"),
            usd_per_accepted=Decimal("0.40"),
        )
        for at, name in enumerate(CASES)
    ]
    comparison = Comparison(
        name=NASTY,
        character="Lulu",
        thresholds="default",
        references=[Picture(path=picture, label="reference of Lulu")],
        decided=False,
        conclusion=["No recommendation: too few pictures. Six of each case decide."],
        cases=figures,
        differences=[],
        confidence=95.0,
        threshold=0.75,
        rounds=[(NASTY, {name: line(at) for at, name in enumerate(CASES)})],
    )
    path = folder / "comparison.html"
    write_comparison(comparison, path)
    return path


def _seen(page: Browser, path: Path) -> None:
    page.goto(path.as_uri())
    assert page.errors == [], "the console is silent"
    requests = "performance.getEntriesByType('resource').filter((one) => !one.name.startsWith('data:')).length"
    assert page.js(requests) == 0, "nobody is asked for anything"
    assert page.js("document.scripts.length") == 0
    loaded = "[...document.images].map((one) => one.complete && one.naturalWidth > 0)"
    assert page.js(loaded) == [True] * 6, "the reference, and a picture of each case"
    assert "too few pictures" in page.js("document.querySelector('.conclusion').innerText")
    assert page.js("document.querySelector('.conclusion.decided')") is None
    assert "Use weight" not in page.js("document.body.innerText")


@pytest.mark.parametrize("width", [400, 1440])
def test_the_page_of_one_repeat_is_silent_complete_and_names_no_winner(tmp_path: Path, width: int) -> None:
    with browser(tmp_path / "profile") as page:
        page.size(width)
        _seen(page, _page(tmp_path))
        assert page.js("document.documentElement.scrollWidth <= innerWidth"), "only the table scrolls sideways"
