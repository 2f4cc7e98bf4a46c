"""`./run` where uv is there, where it is not, and where it cannot be had; with programs that only say what they do."""

import shutil
import subprocess
from pathlib import Path

import pytest

RUN = Path(__file__).resolve().parents[2] / "run"
SAYS_ITS_ARGUMENTS = '#!/bin/sh\necho "$(basename "$0") $*"\n'
#: A Python that makes a virtual environment whose pip installs a uv that says what it is asked.
MAKES_AN_ENVIRONMENT = """#!/bin/sh
case "$*" in
    "-m venv "*)
        mkdir -p "$3/bin"
        cat >"$3/bin/python" <<'INNER'
#!/bin/sh
echo "pip $*" >&2
printf '#!/bin/sh\\n[ "$1" = --version ] && echo "uv %s (made up)" || echo "uv $*"\\n' "${6#uv==}" >"${0%python}uv"
chmod +x "${0%python}uv"
INNER
        chmod +x "$3/bin/python" ;;
esac
"""
HAS_NEITHER_PIP_NOR_ENSUREPIP = '#!/bin/sh\n[ "$1" = -c ]\n'


class Machine:
    """A folder with the script in it, and a PATH with a few plain programs."""

    def __init__(self, folder: Path) -> None:
        self.project = folder / "a project"
        self.project.mkdir()
        self.programs = folder / "bin"
        self.programs.mkdir()
        shutil.copy2(RUN, self.project / "run")
        for name in ("sh", "dirname", "basename", "rm", "mkdir", "grep", "cat", "chmod"):
            (self.programs / name).symlink_to(str(shutil.which(name)))

    def has(self, name: str, program: str) -> None:
        path = self.programs / name
        path.write_text(program, encoding="ascii")
        path.chmod(0o755)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(self.project / "run"), *arguments]
        return subprocess.run(
            command, env={"PATH": str(self.programs)}, capture_output=True, text=True, timeout=60, check=False
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_uv_does_the_work_where_it_is_there(machine: Machine) -> None:
    machine.has("uv", SAYS_ITS_ARGUMENTS)
    done = machine.run("likeness", "demo", "--json")
    assert done.stdout == f"uv run --project {machine.project} likeness demo --json\n"
    assert not (machine.project / ".uv").exists()


def test_uv_is_installed_once_into_a_folder_of_the_project_and_said_so(machine: Machine) -> None:
    machine.has("python3", MAKES_AN_ENVIRONMENT)
    first = machine.run("pytest", "-q")
    assert first.stdout == f"uv run --project {machine.project} pytest -q\n"
    assert "installing uv" in first.stderr
    assert str(machine.project / ".uv") in first.stderr
    assert "pip -m pip install" in first.stderr
    again = machine.run("pytest", "-q")
    assert again.stdout == first.stdout
    assert "installing uv" not in again.stderr


@pytest.mark.parametrize(
    ("python", "sentence"),
    [(None, "install Python 3.11 or newer"), (HAS_NEITHER_PIP_NOR_ENSUREPIP, "install the package python3-venv")],
)
def test_a_machine_that_lacks_too_much_is_told_what_to_install(
    machine: Machine, python: str | None, sentence: str
) -> None:
    if python:
        machine.has("python3", python)
    done = machine.run("likeness", "demo")
    assert done.returncode == 3
    assert sentence in done.stderr
    assert not (machine.project / ".uv").exists()
