"""The scripts of `examples/`, run as their first lines say."""

import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.process import running
from tests.support import commands

EXAMPLES = commands.ROOT / "examples"
REFERENCES = EXAMPLES / "lulu-pig" / "references"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_examples_do_what_they_say(home: Path, tmp_path: Path) -> None:
    with running(tmp_path / "sandbox", size_px=64) as url:
        surroundings = {"SANDBOX_BASE_URL": url, "CLIP_MODEL": str(commands.ROOT / "sandbox" / "clip")}

        def example(name: str, *arguments: str) -> tuple[int, str]:
            done = subprocess.run(
                [sys.executable, str(EXAMPLES / name), *arguments],
                env=commands.environment(home, **surroundings),
                cwd=tmp_path,
                capture_output=True,
                text=True,
                timeout=250,
                check=False,
            )
            assert "Traceback" not in done.stderr, done.stderr
            return done.returncode, done.stdout

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
        assert len(commands.bill(url)["jobs"]) >= 5


def test_every_example_is_run_by_this_test() -> None:
    source = Path(__file__).read_text(encoding="utf-8")
    assert all(f'"{path.name}"' in source for path in EXAMPLES.glob("*.py"))
