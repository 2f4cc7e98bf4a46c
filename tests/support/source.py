"""What the tests of the architecture look at: the packages of the project, their modules, and the tracked files."""

import ast
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGES: list[str] = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """One file of Python: where it is, what it says, how it is built."""

    path: str
    text: str
    tree: ast.Module

    @property
    def name(self) -> str:
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


@cache
def modules_below(*folders: str) -> tuple[Module, ...]:
    return tuple(_modules(folders))


def _modules(folders: tuple[str, ...]) -> Iterator[Module]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            yield Module(path=path.relative_to(ROOT).as_posix(), text=text, tree=ast.parse(text))


def product() -> tuple[Module, ...]:
    return modules_below(*PACKAGES)


def imported(module: Module) -> Iterator[str]:
    """Full names of everything the module imports anywhere, also inside functions."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def tracked() -> tuple[str, ...]:
    """Every file that git knows, as paths from the root."""
    # A clone made by another user is still ours to read.
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return tuple(name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file())
