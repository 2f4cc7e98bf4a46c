"""The command line as a person meets it: in processes of its own, from a wrong word to a finished batch."""

import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest

from sandbox.process import running
from tests.support import commands

_SANDBOX = "http://127.0.0.1:9"  # never asked where nothing is made

ROOT = Path(__file__).resolve().parent.parent.parent

WRONG = {
    "a file that is missing": (["enqueue", "nowhere.csv", "--provider", "sandbox"], 2, "no file 'nowhere.csv'"),
    "Latin-1": (["enqueue", "latin.csv", "--provider", "sandbox"], 2, "line 2: byte 0xFC"),
    "a retired model": (["run", "good.csv", "--model", "dall-e-3"], 2, "was shut down"),
    "a budget below one hold": (["run", "good.csv", "--provider=sandbox", "--max-cost=0.10"], 2, "below the 0.40 USD"),
    "no key": (["enqueue", "good.csv"], 3, "TTAPI_API_KEY is not set"),
    "a command that is none": (["rnu", "good.csv"], 2, "Did you mean 'run'"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_call_is_one_sentence_and_leaves_no_row(
    home: Path, tmp_path: Path, database_url: str, redis_url: str, what: str
) -> None:
    arguments, code, says = WRONG[what]
    (tmp_path / "good.csv").write_text("prompt\na pig\n")
    (tmp_path / "latin.csv").write_bytes("prompt\nübermut\n".encode("latin-1"))
    servers = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "SANDBOX_BASE_URL": _SANDBOX}
    ended = commands.run(*arguments, home=home, cwd=tmp_path, **servers)
    assert (ended.code, ended.out) == (code, ""), ended
    assert ended.err.startswith("error: ")
    assert ended.err.count("\n") == 1, ended.err
    assert says in ended.err
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT count(*) FROM generations").fetchone() == (0,)


@pytest.mark.parametrize("command", ["run", "enqueue"])
def test_a_retired_model_is_refused_before_anything_starts(home: Path, tmp_path: Path, command: str) -> None:
    prompts = commands.write_prompts(tmp_path / "farm.csv", ["a pig"])
    # No address of a server is set: these are the installation that would bring its own along.
    ended = commands.run(command, str(prompts), "--model", "dall-e-3", home=home, cwd=tmp_path, OPENAI_API_KEY="key")
    assert (ended.code, ended.out) == (2, "")
    assert "'dall-e-3' was shut down on 2026-05-12; use 'gpt-image-2.5-sunburst'" in ended.err
    assert not home.exists() or not any(home.iterdir()), "neither server nor queue was made, so nothing is enqueued"
    assert commands.processes_of(home) == []
    probe = f"import cli.main, sys; cli.main.run({[command, str(prompts), '--model=dall-e-3']!r}); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert not {"sqlalchemy", "celery", "httpx2", "alembic"} & set(loaded.split()), "it knew without them"


def test_a_reader_who_leaves_early_sees_no_complaint(home: Path, tmp_path: Path) -> None:
    listing = subprocess.Popen(
        commands.argv("models"),
        cwd=tmp_path,
        env=commands.environment(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with listing:
        assert listing.stdout is not None
        assert listing.stderr is not None
        listing.stdout.close()
        assert listing.stderr.read() == ""
    assert listing.returncode == 0


def test_an_interrupted_watch_ends_with_130_and_one_document(
    home: Path, tmp_path: Path, database_url: str, redis_url: str
) -> None:
    servers = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "SANDBOX_BASE_URL": _SANDBOX}
    prompts = commands.write_prompts(tmp_path / "farm.csv", ["a pig"])
    enqueued = commands.run("enqueue", str(prompts), "--provider=sandbox", "--json", home=home, cwd=tmp_path, **servers)
    assert enqueued.document["counts"]["admitted"] == 1
    watching = subprocess.Popen(
        commands.argv("watch", "farm", "--json"),
        cwd=tmp_path,
        env=commands.environment(home, **servers),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell that starts a whole test run in the background has it ignore Ctrl-C, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509 -- one call, no lock
    )
    with watching:
        assert watching.stderr is not None
        assert "this command brings none, since DATABASE_URL is set" in watching.stderr.readline()
        assert "0 of 1 final" in watching.stderr.readline(), "it watches"
        watching.send_signal(signal.SIGINT)
        out, err = watching.communicate(timeout=60)
    assert watching.returncode == 130
    assert '"code": "interrupted"' in out
    assert out.count("\n") == 1
    assert "Traceback" not in err


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_file_of_prompts_becomes_pictures_by_one_command(home: Path, tmp_path: Path) -> None:
    """The whole way without a character, on servers and workers that the command brings along."""
    (tmp_path / "farm.csv").write_text("theme,variation,prompt\nmeadow,1,a pig on a meadow\nmeadow,2,a cow by a pond\n")

    with running(tmp_path / "sandbox", latency_s=0.05, size_px=64) as url:
        surroundings = {"SANDBOX_BASE_URL": url, "CLIP_MODEL": commands.SMALL_MODEL}

        def likeness(*arguments: str) -> commands.Ended:
            return commands.run(*arguments, home=home, cwd=tmp_path, timeout_s=300, **surroundings)

        ran = likeness("run", "farm.csv", "--provider=sandbox", "--max-cost=5", "--json")
        assert ran.code == 0, ran.err
        assert (ran.document["accepted"], ran.document["remaining_usd"]) == (2, "4.96")
        assert (tmp_path / "report.html").is_file()
        again = likeness("run", "farm.csv", "--provider=sandbox", "--json")
        assert (again.code, again.document["charged_usd"]) == (0, "0.04"), "what is done is not paid again"
        told = likeness("show", "farm/1", "--json").document
        assert (told["prompt"], told["cost"], len(told["assets"])) == ("a cow by a pond", "0.02", 4)
        exported = likeness("export", "farm", "pictures", "--json").document
        assert exported["written"] == 2
        assert sorted(path.name for path in (tmp_path / "pictures/meadow").rglob("*.png")) == [
            "farm-0000.png",
            "farm-0001.png",
        ]
        cost = likeness("cost", "--json").document
        assert Decimal(cost["total_cost"]) == Decimal(commands.bill(url)["total_usd"]) == Decimal("0.04")
    commands.wait_for(lambda: not commands.processes_of(home), what="the end of every process of the commands")


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_comparison_brings_servers_workers_and_the_stand_in(home: Path, tmp_path: Path) -> None:
    """As docs/reference-testing.md says it, with nothing configured; nobody is to be recognised, without CLIP."""
    commands.write_prompts(tmp_path / "farm.csv", ["a pig"])
    cases = ("--case", "fast: mode=fast", "--case", "relaxed: mode=relax")
    call = ("compare", "farm.csv", *cases, "--provider=sandbox", "--actual-run", "--json")
    made = commands.run(*call, home=home, cwd=tmp_path, timeout_s=300)
    assert (made.code, made.document["accepted"]) == (0, 2), made.err
    assert [case["name"] for case in made.document["comparison"]["cases"]] == ["fast", "relaxed"]
    assert made.document["comparison"]["conclusion"][0].startswith("No recommendation")
    assert 'src="data:image/' in (tmp_path / "comparison.html").read_text(encoding="utf-8")
    commands.wait_for(lambda: not commands.processes_of(home), what="the end of every process of the command")


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_command_may_bring_workers_and_the_stand_in_to_servers_of_somebody_elses(
    home: Path, tmp_path: Path, database_url: str, redis_url: str
) -> None:
    prompts = commands.write_prompts(tmp_path / "farm.csv", ["a pig", "a cow"])
    servers = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "CLIP_MODEL": commands.SMALL_MODEL}
    call = ("run", str(prompts), "--provider=sandbox", "--json")
    alone = commands.run(*call, home=home, cwd=tmp_path, timeout_s=300, **servers)
    assert (alone.code, "`likeness run FILE --provider sandbox --workers`" in alone.out) == (3, True), alone.out
    ran = commands.run(*call, "--workers", home=home, cwd=tmp_path, timeout_s=300, **servers)
    assert ran.code == 0, ran.err
    assert ran.document["accepted"] == 2
    assert "brings none" not in ran.err
    commands.wait_for(lambda: not commands.processes_of(home), what="the end of the command's processes")


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_script_gets_pictures_and_leaves_nothing_running(home: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import likeness\n"
        "batch = likeness.connect().enqueue(['a pig', {'prompt': 'a cow'}], provider='sandbox', max_cost=5)\n"
        "ended = batch.wait(timeout=300)\n"
        "print(ended.accepted, ended.charged_usd, all(one.picture.is_file() for one in batch.results()))\n"
    )
    with running(tmp_path / "sandbox", latency_s=0.05, size_px=64) as url:
        ended = subprocess.run(
            [sys.executable, str(script)],
            cwd=tmp_path,
            env=commands.environment(home, SANDBOX_BASE_URL=url, CLIP_MODEL=commands.SMALL_MODEL),
            capture_output=True,
            text=True,
            timeout=350,
            check=False,
        )
    assert (ended.returncode, ended.stdout) == (0, "2 0.040000 True\n"), ended.stderr
    commands.wait_for(lambda: not commands.processes_of(home), what="the end of every process of the script")
