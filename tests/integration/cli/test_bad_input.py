"""What a person gets wrong ends in one clear sentence and exit code 2 or 3, and nothing is enqueued."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from providers.registry import STAND_IN_FIRST_LOOK
from runtime.embedded.stack import Servers
from tests.support.books import USER
from tests.support.command_line import CommandLine, stand
from tests.support.databases import Databases, url_of


@pytest.fixture(scope="module")
def url(servers: Servers, databases: Databases) -> Iterator[str]:
    """One database for all of these tests, since none of them writes a row."""
    name = databases.lend()
    yield url_of(servers, name)
    databases.take_back(name)


@pytest.fixture
def likeness(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str, redis_url: str
) -> Iterator[CommandLine]:
    """The command line; whatever a test did with it, no row came of it."""
    # The address of the stand-in is never asked: enqueuing touches no provider.
    stand(
        monkeypatch,
        tmp_path,
        {"DATABASE_URL": url, "REDIS_URL": redis_url, "SANDBOX_BASE_URL": "http://127.0.0.1:9"},
    )
    yield CommandLine(capsys)
    with psycopg.connect(url) as connection:
        for table in ("batches", "generations", "characters"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


_GOOD = b"prompt\na pig\n"

FILES = {
    "no prompt column": (b"text,theme\na pig,farm\n", "no column 'prompt'"),
    "empty": (b"", "is empty"),
    "a header alone": (b"prompt\n", "no row"),
    "blank prompts": (b'prompt\n" "\n""\n', "blank"),
    "latin-1": ("prompt\nün cochon à Zürich\n".encode("latin-1"), "is not UTF-8"),
    "a megabyte": (b"prompt\n" + b"x" * 1_000_000 + b"\n", "line 2"),
    "an index twice": (b"index,prompt\n1,a\n2,b\n1,c\n", "line 4"),
    "a NUL byte": (b"prompt\na pig\na \x00 pig\n", "line 3"),
    "an unterminated quote": (b'prompt\n"a pig\nb\nc\n', "line 2"),
    "a surplus cell": (b"prompt,theme\na pig, pink,farm\n", "line 2"),
    "a seed that is none": (b"prompt,seed\na pig,many\n", "line 2"),
}


@pytest.mark.parametrize("what", FILES)
def test_a_file_that_cannot_be_used_is_refused_with_its_line(likeness: CommandLine, tmp_path: Path, what: str) -> None:
    content, says = FILES[what]
    (tmp_path / "prompts.csv").write_bytes(content)
    assert says in likeness.refused("enqueue", "prompts.csv", "--provider", "sandbox")


def test_a_file_that_is_missing_or_a_folder_is_refused(likeness: CommandLine, tmp_path: Path) -> None:
    assert "no file 'nowhere.csv'" in likeness.refused("enqueue", "nowhere.csv", "--provider", "sandbox")
    assert "is a directory" in likeness.refused("enqueue", tmp_path, "--provider", "sandbox")


OPTIONS = {
    "a retired model": (["--model", "dall-e-3", "--provider", "ttapi"], 2, "was shut down"),
    "an unknown model": (["--model", "midjourny", "--provider", "sandbox"], 2, "did you mean 'midjourney'"),
    "a model of somebody else": (["--model", "google/nano-banana-pro", "--provider", "sandbox"], 2, "not served by"),
    "a negative budget": (["--max-cost", "-1", "--provider", "sandbox"], 2, "must be above 0"),
    "a budget of nothing": (["--max-cost", "0", "--provider", "sandbox"], 2, "must be above 0"),
    "a budget in words": (["--max-cost", "plenty", "--provider", "sandbox"], 2, "no amount of dollars"),
    "a budget below one hold": (["--max-cost", "0.10", "--provider", "sandbox"], 2, "below the 0.40 USD"),
    "an unknown provider": (["--provider", "midjourny"], 2, "no provider 'midjourny'"),
    "no key": (["--provider", "ttapi"], 3, "TTAPI_API_KEY is not set"),
    "an unknown character": (["--provider", "sandbox", "--character", "lulu"], 2, "no character 'lulu'"),
    "an empty range": (["--provider", "sandbox", "--start", "5"], 2, "out of range"),
    "a row before the first": (["--provider", "sandbox", "--start", "-1"], 2, "--start -1 is before the first row"),
    "an end before its start": (["--provider", "sandbox", "--start", "3", "--end", "2"], 2, "--end 2 is no range"),
    "an option that is none": (["--provider", "sandbox", "--budget", "5"], 2, "--budget"),
    "a number that is none": (["--provider", "sandbox", "--start", "first"], 2, "--start"),
    "a number out of range": (["--provider", "sandbox", "--cref-weight", "101"], 2, "--cref-weight"),
    "no review": (["--provider", "sandbox", "--approved-only"], 2, "column 'status' or 'approved'"),
}


@pytest.mark.parametrize("what", OPTIONS)
def test_an_option_that_cannot_be_used_is_refused(likeness: CommandLine, tmp_path: Path, what: str) -> None:
    options, code, says = OPTIONS[what]
    (tmp_path / "prompts.csv").write_bytes(_GOOD)
    assert says in likeness.refused("enqueue", "prompts.csv", *options, code=code)


def test_the_retired_model_names_its_successor(likeness: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "prompts.csv").write_bytes(_GOOD)
    said = likeness.refused("enqueue", "prompts.csv", "--model", "google/imagen-4-ultra")
    assert "use 'google/nano-banana-pro'" in said


def test_a_dry_run_enqueues_nothing(likeness: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "prompts.csv").write_bytes(_GOOD + b"a cow\n")
    said = likeness.document("enqueue", "prompts.csv", "--provider", "sandbox", "--dry-run", "--max-cost", "5")
    assert (said["dry_run"], said["total"], said["at_most_usd"], said["limit_usd"]) == (True, 2, "0.80", "5.00")


def test_a_dry_run_takes_at_least_as_long_as_one_job(likeness: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "prompts.csv").write_bytes(b"prompt,theme\na pig,beach\na cow,beach\n")
    said = likeness.document("enqueue", "prompts.csv", "--provider", "sandbox", "--dry-run")
    assert said["at_least_s"] == STAND_IN_FIRST_LOOK.total_seconds()
    assert "1 theme: beach" in likeness("enqueue", "prompts.csv", "--provider", "sandbox", "--dry-run").out


def test_a_column_that_looks_misspelt_is_warned_about(likeness: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "prompts.csv").write_bytes(b"prompt,sede,aspectratio,code,rating\na pig,7,16:9,x,5\n")
    said = likeness.document("enqueue", "prompts.csv", "--provider", "sandbox", "--dry-run")
    assert said["warnings"] == [
        "the column 'aspectratio' steers nothing; if it should, call it 'aspect_ratio'",
        "the column 'sede' steers nothing; if it should, call it 'seed'",
    ]


REFERENCES = {
    "no picture": b"this is no picture",
    "nothing": b"",
    "a torn picture": b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x08",
}


@pytest.mark.parametrize("what", REFERENCES)
def test_a_reference_that_is_no_picture_makes_no_character(likeness: CommandLine, tmp_path: Path, what: str) -> None:
    (tmp_path / "lulu.png").write_bytes(REFERENCES[what])
    assert "reference picture 'lulu.png' is not usable" in likeness.refused("character", "add", "lulu", "lulu.png")
    assert likeness.document("character", "list") == {"characters": []}


def test_a_reference_that_cannot_be_read_makes_no_character(likeness: CommandLine, tmp_path: Path) -> None:
    assert "cannot be read: No such file" in likeness.refused("character", "add", "lulu", "nowhere.png")
    assert "cannot be read: Is a directory" in likeness.refused("character", "add", "lulu", tmp_path)
    assert likeness.document("character", "list") == {"characters": []}


UNKNOWN = {
    "status": ["status", "nope"],
    "list": ["list", "nope"],
    "show": ["show", "nope/1"],
    "report": ["report", "nope"],
    "export": ["export", "nope", "out"],
    "watch": ["watch", "nope"],
    "pause": ["pause", "nope"],
    "resume": ["resume", "nope"],
    "cancel": ["cancel", "nope"],
    "retry": ["retry", "nope"],
}


@pytest.mark.parametrize("command", UNKNOWN)
def test_a_batch_that_does_not_exist_is_said_so(likeness: CommandLine, command: str) -> None:
    assert "there is no batch 'nope'" in likeness.refused(*UNKNOWN[command])


MISUSED = {
    "no such command": (["rnu", "x.csv"], "Did you mean 'run'"),
    "a missing argument": (["show"], "GENERATION"),
    "no such state": (["list", "--state", "done"], "--state"),
    "no such day": (["cost", "--since", "yesterday"], "--since"),
    "no such lane": (["lanes", "close", "nope"], "no lane 'nope'"),
    "an odd rate": (["lanes", "set", "sandbox", "--rate", "5/q"], "no rate limit"),
    "nothing to set": (["lanes", "set", "sandbox"], "--rate"),
    "an odd id": (["show", "12"], "no id of a generation"),
    "a batch for a generation": (["show", "demo-4"], "for a row of a batch write demo-4/0"),
    "an unknown id": (["show", "01a1fc4d-0000-7000-8000-000000000000"], "no generation"),
    "no folder": (["export", "nope"], "--csv"),
    "no such catalogue": (["models", "--provider", "nope"], "no provider 'nope'"),
    "a state that is never retried": (["retry", "nope", "--state", "completed"], "--state"),
}


@pytest.mark.parametrize("what", MISUSED)
def test_a_call_that_cannot_be_understood_is_one_sentence(likeness: CommandLine, what: str) -> None:
    arguments, says = MISUSED[what]
    assert says in likeness.refused(*arguments)


SPOKEN = {
    "a number out of range": (["list", "--limit", "0"], "'--limit': it must be greater than or equal to 1"),
    "a number that is none": (["list", "--limit", "many"], "'--limit': it must be a valid integer;"),
    "a word that is none": (["list", "--state", "done"], "'--state': 'done' is not one of"),
}


@pytest.mark.parametrize("what", SPOKEN)
def test_a_wrong_value_is_told_in_words_of_ours(likeness: CommandLine, what: str) -> None:
    arguments, says = SPOKEN[what]
    assert says in likeness.refused(*arguments)


def test_a_wrong_setting_is_told_in_words_of_ours(likeness: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANDBOX_CONCURRENCY", "many")
    monkeypatch.setenv("CLIP_THRESHOLD_CORE", "7")
    monkeypatch.setenv("REDIS_URL", "somewhere")
    said = likeness.refused("list")
    assert "SANDBOX_CONCURRENCY: it must be a valid integer" in said
    assert "CLIP_THRESHOLD_CORE: it must be less than or equal to 1" in said
    assert "REDIS_URL: write it like redis://" in said
    assert not any(word in said for word in ("Value error", "Input should", "unable to parse"))


def test_nothing_made_on_the_days_asked_for_is_said_so(likeness: CommandLine) -> None:
    assert (
        likeness("cost", "--since", "2999-01-01").out
        == f"{USER} made no batch on 2999-01-01 or later, so nothing was paid\n"
    )


@pytest.mark.parametrize("command", [[], ["character"]])
def test_no_command_at_all_shows_the_help_and_fails(likeness: CommandLine, command: list[str]) -> None:
    ended = likeness(*command)
    assert (ended.code, ended.err) == (2, "")
    assert f"Usage: {' '.join(['likeness', *command])}" in ended.out


@pytest.mark.parametrize("missing", ["DATABASE_URL", "REDIS_URL"])
def test_one_server_without_the_other_is_refused(
    likeness: CommandLine, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.delenv(missing)
    other = {"DATABASE_URL": "REDIS_URL", "REDIS_URL": "DATABASE_URL"}[missing]
    assert f"{missing} is not set while {other} is" in likeness.refused("status")


def test_a_database_that_does_not_answer_is_a_missing_service(
    likeness: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://somebody:secret@127.0.0.1:9/likeness")
    said = likeness.refused("status", code=3)
    assert "not reachable" in said
    assert "secret" not in said


@pytest.mark.parametrize("name", ["DATABASE_URL", "REDIS_URL"])
def test_an_address_that_is_none_is_named_without_its_password(
    likeness: CommandLine, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "http://somebody:secret@127.0.0.1/likeness")
    said = likeness.refused("status")
    assert f"{name}: " in said
    assert "secret" not in said


def test_a_setting_that_is_none_is_named(likeness: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIP_THRESHOLD_CORE", "high")
    assert "CLIP_THRESHOLD_CORE" in likeness.refused("status")


def test_a_file_that_may_not_be_written_is_said_so(likeness: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file, no folder")
    assert "'taken" in likeness.refused("character", "add", "lulu", "taken/lulu.png")
