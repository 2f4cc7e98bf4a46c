"""`watch` on a pseudo-terminal: what it draws at two sizes, what its keys do, and how it leaves the terminal."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from db.schema_api import acts
from tests.support.books import Books
from tests.support.command_line import CommandLine
from tests.support.terminal_session import TerminalSession

_COLOUR = re.compile(rb"\x1b\[[0-9;]*3[0-7]m")
Open = Callable[..., TerminalSession]


@pytest.fixture
def given() -> Mapping[str, str]:
    return {}


@pytest.fixture
def farm(likeness: CommandLine, books: Books) -> Books:
    """Two batches; a lane cools down, and a generation of each has failed with a hostile message."""
    books.lane(rate="60/m")
    books.batch(3, name="meadow", limit="50")
    books.batch(12, name="farm", limit="50")
    books.sql("UPDATE lanes SET closed_until = now() + interval '90 seconds', reason = 'rate_limited'")
    books.sql(
        "UPDATE generations SET state = 'failed', error_code = 'content_refused', completed_at = now(),"
        " error_message = E'the provider refused it \\x1b[2J[bold]' || repeat(' and says so', 40) WHERE position = 2"
    )
    return books


@pytest.fixture
def open_terminal() -> Iterator[Open]:
    with ExitStack() as stack:

        def opened(*arguments: str, columns: int, lines: int, **more: str) -> TerminalSession:
            session = TerminalSession(*arguments, columns=columns, lines=lines, more=more)
            stack.callback(session.close)
            return session

        yield opened


def _is_restored(session: TerminalSession) -> bool:
    return session.cursor_is_visible and session.settings == session.settings_before


@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (200, 60)])
def test_keys_act_on_the_chosen_batch_and_say_what_they_did(
    farm: Books, open_terminal: Open, tmp_path: Path, columns: int, lines: int
) -> None:
    session = open_terminal("watch", columns=columns, lines=lines, SSH_CONNECTION="10.0.0.1 2 10.0.0.2 22")
    session.shows("q quit")
    whole = "\n".join(session.rows)
    for words in ("> farm", "meadow", "1/12", "1/3", "60/m", "closed for", "rate_limited", "farm/2", "content_refused"):
        assert words in whole
    assert "[bold]" in whole, "a provider's message is shown as it is, and moves nothing"
    assert session.settings != session.settings_before, "keys come without Enter"
    for keys, said in (
        ("p", "batch 'farm' is paused: a person paused it while watching; r resumes it"),
        ("p", "batch 'farm' was paused already"),
        ("r", "batch 'farm' goes on: 11 generations are not final"),
        ("r", "batch 'farm' was not paused"),
        ("\x1b[B", "> meadow"),
        ("c", "cancel 2 generations of 'meadow' for good?"),
        ("n", "nothing was canceled"),
        ("x", "that key does nothing here"),
        ("o", "report written:"),
        ("cy", "batch 'meadow': 2 generations canceled"),
        ("c", "batch 'meadow': nothing is left to cancel"),
    ):
        session.presses(keys)
        session.shows(said)
    assert "<!doctype html>" in (tmp_path / "meadow.html").read_text(encoding="utf-8")[:20].lower()
    session.presses("q")
    assert session.ends() == 1
    assert _is_restored(session)
    assert [row.act for row in farm.rows(acts)] == ["paused", "resumed", "canceled"], "what changed nothing is no act"


def test_a_single_batch_is_shown_by_its_states_and_without_colours(farm: Books, open_terminal: Open) -> None:
    session = open_terminal("watch", "farm", columns=80, lines=24, NO_COLOR="1")
    session.shows("q quit")
    whole = "\n".join(session.rows)
    for words in ("farm  1 of 12 final", "queued", "11", "closed for", "farm/2"):
        assert words in whole
    assert "meadow" not in whole
    assert not _COLOUR.search(session.raw)
    session.process.terminate()
    assert session.ends() == 130
    assert _is_restored(session), "also where it is told to end from outside"


def test_where_nobody_watches_each_batch_has_a_plain_line(likeness: CommandLine, books: Books) -> None:
    books.lane()
    for name in ("farm", "meadow"):
        books.batch(2, name=name)
        likeness("cancel", name)
    ended = likeness("watch", "farm", "meadow")
    assert ended.code == 1
    lines = ended.err.splitlines()
    assert [line.split(";")[0] for line in lines if "final" in line] == [
        "farm: 2 of 2 final (2 canceled)",
        "meadow: 2 of 2 final (2 canceled)",
    ]
    assert "\x1b" not in ended.out + ended.err
    said = likeness.document("watch", "farm", "meadow", code=1)
    assert [one["name"] for one in said["batches"]] == ["farm", "meadow"]
    assert "no batch is under way" in likeness.refused("watch")
