"""The screen of `watch` fits the terminal, whatever there is to show."""

import io
from decimal import Decimal

import pyte
import pytest
from rich.console import Console

from reports.records import Progress
from reports.watch_view import LaneLine, WatchedBatch, WatchScreen


def _batch(number: int, *, halted: str = "") -> WatchedBatch:
    return WatchedBatch(
        progress=Progress(
            name=f"batch with a rather long name, number {number:02}",
            total=12_345,
            counts={"completed": 1_200, "rejected": 31, "failed": 7, "queued": 11_107},
            charged_usd=Decimal("1234.56"),
            held_usd=Decimal(4),
            in_doubt_usd=Decimal(0),
            limit_usd=Decimal(2000),
            rate_per_minute=12,
            eta_s=4_242,
        ),
        halted=halted,
    )


def _lane(number: int, *, closed: bool = False) -> LaneLine:
    return LaneLine(
        name=f"ttapi-account-{number:02}",
        in_flight=3,
        concurrency=10,
        rate_limit="60/m",
        closed=closed,
        state=f"closed for 90 s: {'the account is out of money ' * 9}" if closed else "open",
    )


def _rows(screen: WatchScreen, columns: int, lines: int) -> list[str]:
    """As a terminal of this size shows it, the cursor below it."""
    console = Console(file=(said := io.StringIO()), force_terminal=True, width=columns, height=lines)
    console.print(screen)
    drawn = pyte.Screen(columns, lines)
    pyte.Stream(drawn).feed(said.getvalue().replace("\n", "\r\n"))
    return [row.rstrip() for row in drawn.display]


def _crowded(batches: int, *, chosen: int = 0) -> WatchScreen:
    return WatchScreen(
        batches=[_batch(number) for number in range(batches)],
        lanes=[_lane(number, closed=number == 0) for number in range(31)],
        failures=[(f"a batch/{number}", f"content_refused: \x1b[2J{'refused ' * 30}") for number in range(30)],
        chosen=chosen,
        message="cancel 11,107 generations of 'batch with a rather long name' for good? y = yes, any other = no",
        keys="↑↓ choose  p pause  r resume  c cancel  o report  q quit",
    )


@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (200, 60)])
@pytest.mark.parametrize("batches", [1, 2, 32])
def test_a_crowded_screen_fits_and_says_what_it_leaves_out(columns: int, lines: int, batches: int) -> None:
    rows = _rows(_crowded(batches, chosen=batches - 1), columns, lines)
    whole = "\n".join(rows)
    assert rows[0].startswith("batch" if batches == 1 else "  batch"), "nothing has scrolled away"
    assert [row for row in rows if row][-1].endswith("q quit")
    for words in ("closed for 90 s", "60/m", "a batch/0", "content_refused", "any other = no", "(of 31)", "(of 30)"):
        assert words in whole
    if batches > 1:
        (chosen,) = (row for row in rows if row.startswith("> "))
        for words in ("1,238/12,345", "1,200", "31", "7", "$1234.56", "1 h 11 min"):
            assert words in chosen
        assert ("of $2000" in chosen) == (columns == 200)
    assert ("of 32" in rows[0]) == (batches == 32 and columns == 80)


def test_what_halts_a_batch_stands_in_its_row() -> None:
    screen = WatchScreen(batches=[_batch(1, halted="paused: the colours are wrong"), _batch(2, halted="over")])
    rows = _rows(screen, 80, 24)
    assert rows[1].endswith("paused")
    assert rows[2].endswith("over")
    alone = _rows(WatchScreen(batches=[_batch(1, halted="paused: the colours are wrong")]), 80, 24)
    assert "paused: the colours are wrong" in alone


def test_without_colour_it_is_as_complete() -> None:
    console = Console(file=(said := io.StringIO()), force_terminal=True, no_color=True, width=80, height=24)
    console.print(_crowded(2))
    assert "\x1b[3" not in said.getvalue()
    assert "1,238/12,345" in said.getvalue()
