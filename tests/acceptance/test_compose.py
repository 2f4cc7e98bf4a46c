"""Every service of the compose file as a process here, by its own command and environment, to the end of a batch.

There may be no container engine where tests run. What a container adds is left out: volumes are folders, names of
services are ports of loopback. What a service is told is the file's own.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from runtime.embedded.binaries import redis_server
from runtime.embedded.ports import choose
from runtime.embedded.postgres import USER
from runtime.embedded.stack import Servers
from tests.support import compose
from tests.support.commands import ROOT, SMALL_MODEL, bill, wait_for, write_prompts
from tests.support.databases import url_of

LULU = ROOT / "examples" / "lulu-pig"
DATABASE = "compose"
#: Where a service listens inside its container.
PORTS = ("5432", "6379", "8700", "8800", "5555")
ENDS_IN_S = 60


@dataclass(slots=True)
class Host:
    """One host that runs the file, with its `.env`."""

    folder: Path
    env_file: Mapping[str, str]
    ports: Mapping[str, str]
    stack: ExitStack
    started: dict[str, list[subprocess.Popen[bytes]]] = field(default_factory=dict)
    services: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.services = compose.services(self.env_file)

    def local(self, text: object) -> str:
        """What a container is told, as it holds on this host."""
        said = str(text)
        said = said.replace(":5432/likeness", f":5432/{DATABASE}")
        said = re.sub(r"(?:postgres|redis|sandbox|0\.0\.0\.0)(?=:\d{4})", "127.0.0.1", said)
        said = re.sub(r"^0\.0\.0\.0$", "127.0.0.1", said)
        said = re.sub(rf"\b({'|'.join(PORTS)})\b", lambda found: self.ports[found[0]], said)
        return re.sub(r"^/(pictures|flower|stand-in|weights|files)\b", lambda found: str(self.folder / found[1]), said)

    def environment(self, name: str) -> dict[str, str]:
        given = {**self.env_file, **self.services[name].get("environment", {})}
        told = {key: self.local(value) for key, value in given.items()}
        path = os.pathsep.join((str(Path(sys.executable).parent), str(redis_server().parent), "/usr/bin", "/bin"))
        return {"PATH": path, "HOME": str(self.folder), "LIKENESS_HOME": str(self.folder / "home"), **told}

    def command(self, name: str, *arguments: str) -> list[str]:
        service = self.services[name]
        entry = service.get("entrypoint", _entry_point() if "build" in service else [])
        program, *rest = [*entry, *map(self.local, service.get("command", ())), *arguments]
        return [str(shutil.which(program, path=self.environment(name)["PATH"])), *rest]

    def run(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`docker compose run --rm NAME ARGUMENTS...`."""
        return subprocess.run(
            self.command(name, *arguments),
            env=self.environment(name),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )

    def up(self, name: str, *more: str, scale: int = 1) -> None:
        """`docker compose up --scale NAME=SCALE NAME`."""
        for number in range(scale):
            log = self.stack.enter_context((self.folder / f"{name}-{number}.log").open("wb"))
            process = subprocess.Popen(
                self.command(name, *more), env=self.environment(name), cwd=self.folder, stdout=log, stderr=log
            )
            self.started.setdefault(name, []).append(process)

    def down(self) -> None:
        everybody = [process for processes in self.started.values() for process in processes]
        for process in everybody:
            process.send_signal(signal.SIGTERM)
        for process in everybody:
            try:
                process.wait(ENDS_IN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def is_healthy(self, name: str) -> bool:
        """The service's own health check."""
        kind, *words = self.services[name]["healthcheck"]["test"]
        command = [self.local(word) for word in (words if kind == "CMD" else ["/bin/sh", "-c", *words])]
        done = subprocess.run(command, env=self.environment(name), capture_output=True, timeout=60, check=False)
        return done.returncode == 0

    def words(self) -> str:
        return "\n".join(f"--- {log.name}\n{log.read_text()[-2000:]}" for log in sorted(self.folder.glob("*.log")))


def _entry_point() -> list[str]:
    found = re.findall(r"^ENTRYPOINT (.+)$", compose.images_file().read_text(encoding="utf-8"), re.MULTILINE)
    assert len(set(found)) == 1
    entry: list[str] = json.loads(found[0])
    return entry


@pytest.fixture
def host(servers: Servers, tmp_path: Path) -> Iterator[Host]:
    assert USER == "likeness", "as the file calls its database's user"
    with psycopg.connect(servers.libpq_url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {DATABASE}")
    _, password, postgres = re.split(r"[:@]", url_of(servers, DATABASE).partition("//")[2], maxsplit=2)
    ports = {"5432": postgres.partition(":")[2].partition("/")[0]}
    for port in PORTS[1:]:
        ports[port] = str(choose(avoid=frozenset(map(int, ports.values()))))
    for folder in ("pictures", "flower", "stand-in", "files"):
        (tmp_path / folder).mkdir()
    env_file = {
        "POSTGRES_PASSWORD": password,
        "REDIS_PASSWORD": "letters1",
        "FLOWER_BASIC_AUTH": "somebody:secret",
        "SANDBOX_BASE_URL": "http://sandbox:8700",
        "OPENAI_API_KEY": "made-up",
        "OPENAI_BASE_URL": "http://sandbox:8700/openai",
        "LIKENESS_PUBLIC_URL": "http://127.0.0.1:8800",
        "CLIP_MODEL": SMALL_MODEL,
    }
    with ExitStack() as stack:
        made = Host(folder=tmp_path, env_file=env_file, ports=ports, stack=stack)
        try:
            yield made
        finally:
            made.down()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_services_of_the_compose_file_finish_a_batch(host: Host) -> None:
    host.up("redis", "--port", host.ports["6379"], "--dir", str(host.folder))
    host.up("sandbox")
    wait_for(lambda: host.is_healthy("sandbox"), what="the sandbox", timeout_s=60)
    migrated = host.run("migrate")
    assert migrated.returncode == 0, migrated.stderr
    for name in ("beat", "api", "flower", "io-sync", "gpu-cpu"):
        host.up(name)
    host.up("io", scale=2)
    same = {name: host.services[name]["command"] for name in ("gpu", "gpu-1", "gpu-cpu")}
    assert len(set(map(tuple, same.values()))) == 1, "the one with a device differs in nothing else"

    references = sorted(map(str, (LULU / "references").glob("*.png")))
    added = host.run("cli", "character", "add", "lulu", *references, "--core=0.856", "--style=-0.40")
    assert added.returncode == 0, added.stderr
    for name, more in (("sandbox", ("--character=lulu",)), ("openai", ("--model=gpt-image-2.5-flare",))):
        prompts = write_prompts(host.folder / "files" / f"{name}.csv", ["Lulu Pig asleep", "Lulu Pig in the rain"])
        ended = host.run("cli", "run", str(prompts), f"--provider={name}", *more, "--json", "--max-cost=5")
        assert ended.returncode in {0, 1}, (ended.stderr, host.words())
        counts = json.loads(ended.stdout)["counts"]
        assert counts["completed"] + counts["rejected"] == 2, (counts, host.words())
    assert any((host.folder / "pictures").rglob("*")), "pictures are in the volume"
    assert len(bill(host.local("http://sandbox:8700"))["jobs"]) == 4

    for name in ("api", "beat", "flower", "io", "io-sync", "gpu-cpu"):
        wait_for(lambda one=name: host.is_healthy(one), what=f"{name} to be healthy", timeout_s=120)
    assert all(process.poll() is None for processes in host.started.values() for process in processes), host.words()
