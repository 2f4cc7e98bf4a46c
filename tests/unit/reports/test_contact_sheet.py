"""What the page says, and what it must never do."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from PIL import Image

from domain.states import GenerationState as S
from reports.breakdowns import failure_classes
from reports.cards import MOST_ON_ONE_PAGE, worst_first
from reports.contact_sheet import pack, render, write_report
from reports.records import AssetLine, GenerationLine, Report

MakeReport = Callable[..., Report]
MakeAsset = Callable[..., AssetLine]

NASTY = '<script>alert("x")</script>"><img src=http://evil.example/x onerror=alert(1)> & 🐷 שלום'


class Page(HTMLParser):
    """What a browser would see: cards in order, tags, addresses, text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.cards: list[dict[str, str | None]] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.handlers: list[str] = []
        self.words = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "article":
            self.cards.append(dict(attrs))
        self.addresses += [value or "" for name, value in attrs if name in {"src", "href", "srcset", "data", "action"}]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data: str) -> None:
        self.words += data


def test_cards_stand_worst_first(report: MakeReport) -> None:
    page = Page(render(report()))
    assert [card["data-position"] for card in page.cards] == ["2", "4", "1", "3", "0"]
    assert [card["data-end"] for card in page.cards] == ["failed", "rejected", "rejected", "accepted", "accepted"]


def test_a_generation_without_a_verdict_stands_after_the_checked_ones(asset: MakeAsset) -> None:
    unchecked = AssetLine(position=0, best=True)
    lines = [
        GenerationLine(position=0, prompt="a", state=S.COMPLETED, assets=[unchecked]),
        GenerationLine(position=1, prompt="b", state=S.COMPLETED, assets=[asset(0.9)]),
    ]
    assert [line.position for line in sorted(lines, key=worst_first)] == [1, 0]


def test_the_page_fetches_nothing(report: MakeReport) -> None:
    page = Page(render(report()))
    assert all(address.startswith(("data:", "#")) for address in page.addresses)
    assert "link" in page.tags
    assert "default-src 'none'" in render(report())


def test_a_prompt_that_contains_html_stays_text(report: MakeReport) -> None:
    whole = report()
    lines = [replace(line, prompt=NASTY, theme=NASTY, error_message=NASTY) for line in whole.generations]
    plain = Page(render(whole))
    page = Page(render(replace(whole, generations=lines, title=NASTY, name=NASTY, character=NASTY, thresholds=NASTY)))
    assert page.tags.count("script") == plain.tags.count("script") == 1
    assert page.tags.count("img") == plain.tags.count("img")
    assert page.handlers == []
    assert NASTY in page.words


def test_a_very_long_prompt_is_there_but_folded(report: MakeReport) -> None:
    whole = report()
    lines = [replace(line, prompt="pig " * 8_000) for line in whole.generations]
    page = Page(render(replace(whole, generations=lines)))
    assert page.tags.count("details") == len(page.cards) + 1  # and the list of what is not finished
    assert ("pig " * 8_000).strip() in page.words


@pytest.mark.parametrize("address", ["javascript:alert(1)", "file:///etc/passwd", "data:text/html,x"])
def test_an_address_that_is_no_web_page_is_no_link(report: MakeReport, asset: MakeAsset, address: str) -> None:
    line = GenerationLine(position=0, prompt="a", state=S.COMPLETED, assets=[asset(0.9, url=address)])
    assert address not in render(report(generations=[line]))


def test_a_missing_picture_says_why(report: MakeReport, asset: MakeAsset, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\nno more")
    assets = [
        asset(0.9, path=None, missing_reason="the provider's address had expired"),
        asset(0.8, 1, path=tmp_path / "gone.png"),
        asset(0.7, 2, path=broken),
        asset(0.6, 3, path=None),
    ]
    line = GenerationLine(position=0, prompt="a", state=S.COMPLETED, assets=assets)
    page = Page(render(report(generations=[line])))
    assert "No picture: the provider's address had expired" in page.words
    assert page.words.count("the file is gone") == 2
    assert "the file is not on this machine" in page.words
    assert page.tags.count("img") == 2  # the reference, and the empty one of the dialog


def test_every_picture_has_words_for_those_who_cannot_see_it(report: MakeReport) -> None:
    alts = re.findall(r'<img src="data:[^>]* alt="([^"]*)"', render(report()))
    assert "Picture 0, core 0.95, style 0.70, passes; row 0" in alts
    assert all(alts)


def test_a_card_shows_the_address_that_commands_take_beside_the_owners_number(
    report: MakeReport, asset: MakeAsset
) -> None:
    assets = [asset(0.9, label="2.0"), asset(0.8, 1, label="2.1")]
    told = GenerationLine(position=10, index="11", prompt="a", state=S.COMPLETED, assets=assets)
    waits = GenerationLine(position=12, index="13", prompt="b", state=S.QUEUED)
    html = render(report(generations=[told, waits]))
    words = Page(html).words
    assert "lulu-pig/10" in words
    assert "lulu-pig/12" in words
    assert '<span class="number">11</span>' in html
    assert "Picture 2.1, core 0.80, style 0.70, passes; row 10" in html


def test_the_outcome_is_one_sentence(report: MakeReport) -> None:
    page = Page(render(report()))
    sentence = "2 of 6 prompts became an accepted picture of Lulu; 2 were rejected, 1 failed and 1 is not finished."
    assert sentence in page.words


def test_a_style_that_is_advice_is_nowhere_shown_as_what_decided(report: MakeReport, asset: MakeAsset) -> None:
    best = asset(0.80, style=0.1, style_decides=False, passed=True)
    page = render(report(generations=[GenerationLine(position=0, prompt="a", state=S.COMPLETED, assets=[best])]))
    words = Page(page).words
    assert "On model: core 0.05 above its threshold, style 0.50 below (advisory)." in words
    assert "advisory, 0.60" in words
    assert "needs 0.60" not in words
    assert 'class="track miss"' not in page
    assert "core 0.80, advisory style 0.10, passes" in page


def test_the_verdict_is_in_words(report: MakeReport) -> None:
    words = Page(render(report())).words
    assert "Off model: core 0.01 below its threshold, style 0.10 above." in words
    assert "On model: core 0.20 above its threshold, style 0.10 above. 1 of 2 pictures passes." in words
    assert "The provider refused it." in words


@pytest.mark.parametrize(
    ("made", "finished", "said"),
    [
        ([0.95, 0.7], [0.9], "1 of 2 pictures passes. The finished picture passes."),
        ([0.95, 0.9], [0.7], "All 2 pictures pass. The finished picture does not pass."),
        ([0.95], [0.9], "style 0.10 above. The finished picture passes."),
        ([0.95, 0.9], [0.9, 0.7], "All 2 pictures pass. 1 of 2 finished pictures passes."),
    ],
)
def test_what_a_picture_was_finished_to_is_counted_apart(
    report: MakeReport, asset: MakeAsset, made: list[float], finished: list[float], said: str
) -> None:
    assets = [asset(core, position) for position, core in enumerate(made)]
    assets += [asset(core, best=False, finished=True, label=f"finished.{at}") for at, core in enumerate(finished)]
    line = GenerationLine(position=0, prompt="a", state=S.COMPLETED, assets=assets)
    assert said in Page(render(report(generations=[line]))).words


def test_what_is_not_finished_is_listed_without_a_card(report: MakeReport) -> None:
    page = Page(render(report()))
    assert "1 prompt is not finished" in page.words
    assert "a pig in scene 5" in page.words
    assert len(page.cards) == 5


def test_a_batch_without_a_character_has_no_scores_and_no_histogram(report: MakeReport) -> None:
    line = GenerationLine(position=0, prompt="a", state=S.COMPLETED, assets=[AssetLine(position=0, best=True)])
    page = Page(
        render(report(character=None, references=(), generations=[line], counts={"completed": 1}, total=1, accepted=1))
    )
    assert "The 1 prompt became an accepted picture." in page.words
    assert "Without a character there is nothing to check." in page.words
    assert page.tags.count("svg") == 1


def test_a_batch_in_which_nothing_happened_yet_has_a_page(report: MakeReport) -> None:
    nothing = report(
        generations=(), spend=(), counts={}, total=0, accepted=0, charged_usd=Decimal(0), avg_cost_per_image_usd=None
    )
    assert "The batch is empty." in Page(render(nothing)).words


def test_one_charge_at_the_first_moment_is_a_chart_too(report: MakeReport) -> None:
    whole = report()
    for amount in (Decimal(0), Decimal("0.000001"), Decimal(99_999)):
        render(replace(whole, spend=[(whole.created_at, amount)], wall_s=0))
        render(replace(whole, spend=[(whole.created_at - timedelta(seconds=5), amount)], limit_usd=Decimal("0.10")))


@pytest.mark.parametrize("scores", [[0.75], [0.75, 0.75], [-0.2, 1.0], [0.7499999, 0.75], [0.1] * 50])
def test_scores_however_they_lie_make_a_chart(report: MakeReport, asset: MakeAsset, scores: list[float]) -> None:
    lines = [GenerationLine(position=n, prompt="a", state=S.REJECTED, assets=[asset(s)]) for n, s in enumerate(scores)]
    html = render(report(generations=lines))
    passing, missing = (html.count(f'<rect class="best {side}"') for side in ("pass", "miss"))
    assert bool(passing) == any(score >= 0.75 for score in scores)
    assert bool(missing) == any(score < 0.75 for score in scores)


def test_pictures_held_against_different_thresholds_share_no_line(report: MakeReport, asset: MakeAsset) -> None:
    assets = [asset(0.9), asset(0.8, 1, core_threshold=0.85)]
    line = GenerationLine(position=0, prompt="a", state=S.COMPLETED, assets=assets)
    assert '<line class="threshold"' not in render(report(generations=[line]))


def _many(number: int, asset: MakeAsset) -> list[GenerationLine]:
    """One failure, and pictures of two files."""
    shown = [asset(0.9), asset(0.6)]
    ends = {0: S.REJECTED, 1: S.COMPLETED}
    return [GenerationLine(position=0, prompt=NASTY, state=S.FAILED, error_message=NASTY)] + [
        GenerationLine(position=n, prompt=NASTY, theme=NASTY, state=ends[n % 2], assets=[shown[n % 2 - 1]])
        for n in range(1, number)
    ]


def _unpacked(shared: dict[str, list[str]], packed: list[list[int | str]]) -> list[str]:
    def html(markup: str, values: list[int | str]) -> str:
        told = iter(shared["values"][one] if isinstance(one, int) else one for one in values)
        return re.sub("\0", lambda _: next(told), markup)

    return [html(shared["markups"][int(card[0])], card[1:]) for card in packed]


def _later(html: str) -> list[dict[str, Any]]:
    def told(kind: str) -> list[Any]:
        return [json.loads(one) for one in re.findall(rf'data-kind="{kind}">(.*?)</script>', html, re.DOTALL)]

    (choices,), (shared,), blocks = told("later"), told("shared"), told("block")
    drawn = _unpacked(shared, [one for block in blocks for one in block])
    chosen = [dict(zip(choices["names"], row, strict=True)) for row in choices["rows"]]
    return [{"choices": one, "html": html} for one, html in zip(chosen, drawn, strict=True)]


def test_a_large_batch_is_a_page_and_a_folder_and_nothing_is_left_out(
    report: MakeReport, asset: MakeAsset, tmp_path: Path
) -> None:
    path = tmp_path / "out" / "my report.html"
    folder = write_report(report(generations=_many(3 * MOST_ON_ONE_PAGE, asset)), path)
    assert folder == tmp_path / "out" / "my report_files"
    html = path.read_text(encoding="utf-8")
    cards, later = Page(html).cards, _later(html)
    told = [card["data-position"] for card in cards] + [one["choices"]["position"] for one in later]
    assert sorted(map(int, told)) == list(range(3 * MOST_ON_ONE_PAGE))
    pictures = [Page(one["html"]).addresses[0] for one in later]
    assert {unquote(address) for address in pictures} == {f"{folder.name}/{one.name}" for one in folder.iterdir()}
    assert all(one["html"].count('loading="lazy"') == 1 for one in later)


def test_nothing_in_a_card_ends_the_data_around_it(report: MakeReport, asset: MakeAsset, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_report(report(generations=_many(MOST_ON_ONE_PAGE + 1, asset)), path)
    html = path.read_text(encoding="utf-8")
    assert Page(html).tags.count("script") == 2 + 4, "data in blocks, and the script of the page"
    later = Page(_later(html)[-1]["html"])
    assert (later.tags.count("script"), later.handlers) == (0, [])
    assert NASTY in later.words


def test_a_report_that_is_written_again_makes_only_what_is_new(
    report: MakeReport, asset: MakeAsset, tmp_path: Path
) -> None:
    lines = _many(MOST_ON_ONE_PAGE + 1, asset)
    folder = write_report(report(generations=lines), tmp_path / "report.html")
    assert folder
    (folder / "mine.webp").write_bytes(b"of a person")
    before = {one.name: one.stat().st_mtime_ns for one in folder.iterdir()}
    other = asset(0.5)
    lines = [replace(line, assets=[other]) if line.best and line.best.core == 0.6 else line for line in lines]
    write_report(report(generations=lines), tmp_path / "report.html")
    after = {one.name: one.stat().st_mtime_ns for one in folder.iterdir()}
    assert len(after) == len(before) == 3
    assert len(before.items() & after.items()) == 2, "what was there was not made again, what is no more shown is gone"


def test_a_large_page_in_one_piece_has_pictures_for_its_worst_and_says_so(report: MakeReport, asset: MakeAsset) -> None:
    html = render(report(generations=_many(MOST_ON_ONE_PAGE + 2, asset), references=()))
    drawn = [one["html"] for one in _later(html)]
    assert sum("data:image" in one for one in drawn) == MOST_ON_ONE_PAGE - 60
    assert sum("likeness report" in one for one in drawn) == 2


def test_a_page_for_paper_has_every_card_and_every_picture_at_once(
    report: MakeReport, asset: MakeAsset, tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    write_report(report(generations=_many(MOST_ON_ONE_PAGE + 1, asset)), path, for_paper=True)
    html = path.read_text(encoding="utf-8")
    assert len(Page(html).cards) == MOST_ON_ONE_PAGE + 1
    assert 'loading="lazy"' not in html


def test_what_came_to_nothing_is_told_by_its_reason(report: MakeReport) -> None:
    whole = report()
    classes = [(one.end, one.code, one.count, one.cost_usd) for one in failure_classes(whole.generations)]
    assert classes == [
        ("rejected", "core too low", 2, Decimal("0.08")),
        ("failed", "content_refused", 1, Decimal("0.04")),
    ]
    words = Page(render(whole)).words
    assert "By 0.010 to 0.250" in words
    assert "The provider refused it." in words


def test_time_is_shown_by_stage_and_model_and_scores_by_theme(report: MakeReport) -> None:
    whole = report()
    stages = {"waiting": 4.0, "generation": 61.0, "validation": 1.0}
    html = render(replace(whole, generations=[replace(line, stage_s=stages) for line in whole.generations]))
    assert 'aria-label="Median time of each stage by model"' in html
    assert "1 min 06 s" in html
    assert 'aria-label="Core scores by theme: Sea 2, Snow 2"' in html


def test_many_scores_of_a_theme_are_drawn_as_their_quarters(report: MakeReport, asset: MakeAsset) -> None:
    best = [asset(0.7 + place / 1000) for place in range(200)]
    lines = [
        GenerationLine(position=place, prompt="a", theme=f"theme {place % 2}", state=S.COMPLETED, assets=[one])
        for place, one in enumerate([*best, *best])
    ]
    html = render(report(generations=lines))
    assert html.count('<rect class="half"') == 2
    assert "<title>theme 0: " in html


def test_a_hundred_and_twelve_noisy_pictures_stay_below_eight_megabytes(
    report: MakeReport, asset: MakeAsset, tmp_path: Path
) -> None:
    # Noise is the worst that a picture can be: nothing in it can be left out.
    noise = tmp_path / "noise.png"
    Image.merge("RGB", [Image.effect_noise((700, 700), 90) for _ in range(3)]).save(noise, compress_level=0)
    lines = [
        GenerationLine(position=n, prompt="a", state=S.COMPLETED, assets=[asset(0.9, k, path=noise) for k in range(4)])
        for n in range(28)
    ]
    path = tmp_path / "report.html"
    write_report(report(generations=lines), path)
    assert path.stat().st_size < 8_000_000
    assert Page(path.read_text()).tags.count("img") == 112 + 2


def test_the_file_is_replaced_in_one_piece_and_can_be_read_by_others(report: MakeReport, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "report.html"
    write_report(report(), path)
    write_report(report(title="Second"), path)
    assert "Second" in path.read_text(encoding="utf-8")
    assert [entry.name for entry in path.parent.iterdir()] == ["report.html"]
    assert path.stat().st_mode & 0o444 == 0o444


@pytest.mark.parametrize("mode", ["RGBA", "P", "LA", "L", "CMYK", "I;16"])
def test_pictures_of_any_kind_are_shown(report: MakeReport, asset: MakeAsset, tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("odd.tiff" if mode == "CMYK" else "odd.png")
    Image.new(mode, (300, 200)).save(path)
    line = GenerationLine(position=0, prompt="a", state=S.COMPLETED, assets=[asset(0.9, path=path)])
    assert "data:image/webp" in render(report(generations=[line], references=()))


def test_packed_cards_are_the_same_html_again() -> None:
    drawn = [
        f'<p class="card" data-at="{number}">\n  <b>{number % 3} &lt;b&gt; ✓</b> said &#34;1&#34;</p><i></i>'
        for number in range(40)
    ] + ['<img src="a">']
    shared, packed = pack(drawn)
    assert _unpacked(shared, packed) == drawn
    assert len(shared["markups"]) == 2
