"""The scripts of `docs/scripting.md`, which are those of `examples/`, run as their first lines say."""

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from reports import provenance
from reports.provenance import Match
from sandbox.process import running
from tests.support import commands

EXAMPLES = commands.ROOT / "examples"
REFERENCES = EXAMPLES / "lulu-pig" / "references"
#: Holds servers and workers for all of the scripts, until its standard input ends.
HOLDER = """
import sys, likeness
with likeness.connect() as connection:
    connection.enqueue(["a pig"], name="holder", provider="sandbox", max_cost="1").wait(timeout=200)
    print("ready", flush=True)
    sys.stdin.read()
"""


def _in_the_page() -> dict[str, str]:
    page = (commands.ROOT / "docs" / "scripting.md").read_text(encoding="utf-8")
    return dict(re.findall(r"<!-- (\w+\.py): written by .*?-->\n\n```python\n(.*?)```", page, flags=re.DOTALL))


@contextmanager
def _one_stack(home: Path, cwd: Path, surroundings: Mapping[str, str]) -> Iterator[None]:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER],
        env=commands.environment(home, **surroundings),
        cwd=cwd,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdin
    assert holder.stdout
    try:
        assert holder.stdout.readline() == "ready\n"
        yield
    finally:
        holder.stdin.close()
        holder.wait(timeout=60)
        holder.stdout.close()
        commands.kill_all(home)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_examples_do_what_they_say(home: Path, tmp_path: Path) -> None:
    scripts = _in_the_page()
    for name, source in scripts.items():
        (tmp_path / name).write_text(source, encoding="utf-8")
    with running(tmp_path / "sandbox", size_px=64) as url:
        surroundings = {"SANDBOX_BASE_URL": url, "CLIP_MODEL": commands.SMALL_MODEL}

        def example(name: str, *arguments: str) -> tuple[int, str]:
            done = subprocess.run(
                [sys.executable, name, *arguments],
                env=commands.environment(home, **surroundings),
                cwd=tmp_path,
                capture_output=True,
                text=True,
                timeout=250,
                check=False,
            )
            assert "Traceback" not in done.stderr, done.stderr
            return done.returncode, done.stdout

        with _one_stack(home, tmp_path, surroundings):
            code, said = example("make_pictures.py")
            assert (code, said.splitlines()[-1]) == (0, "3 of 3 accepted, 0.06 of 3.00 USD spent")
            assert example("make_pictures.py") == (code, said), "the second run pays for nothing"

            references = sorted(map(str, REFERENCES.glob("*.png")))
            added = commands.run(
                "character", "add", "lulu", *references, "--core=0.856", "--style=-0.40", home=home, cwd=tmp_path
            )
            assert added.code == 0, added.err
            code, said = example("check_folder.py", "lulu", str(REFERENCES))
            assert code == 0, said
            assert said.count("pass") == len(references)

            code, said = example("until_enough.py", "lulu", "2")
            assert code == 0, said
            assert said.count("core ") >= 2

            code, said = example("deliver.py", "lulu", "delivery")
            assert code == 0, said
            delivered = sorted((tmp_path / "delivery").glob("*.png"))
            assert f"{len(delivered)} written, 0 there already" in said
            assert all(
                (found := provenance.read_provenance(one)) and found.match is Match.UNCHANGED for one in delivered
            )
            code, said = example("deliver.py", "lulu", "delivery")
            assert (code, f"0 written, {len(delivered)} there already" in said) == (0, True), said

            code, said = example("move_character.py", "lulu", "lulu-folder")
            assert code == 0, said
            assert f"{len(references)} of its {len(references)} references pass" in said


def test_the_page_has_every_example() -> None:
    assert sorted(_in_the_page()) == sorted(path.name for path in EXAMPLES.glob("*.py"))
    source = Path(__file__).read_text(encoding="utf-8")
    assert all(f'"{name}"' in source for name in _in_the_page())
