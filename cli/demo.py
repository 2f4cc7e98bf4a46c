"""`demo`: the whole system on this machine, with a stand-in for the provider and nothing to configure."""

import json
import socket
import tomllib
import urllib.request
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer

import sandbox
from cli import enqueueing
from cli.opening import Opened, opened, python_module, tending, workers
from cli.options import AsJson
from cli.terminal import Terminal, speaking
from cli.watching import Watch, conclude
from cli.wish import Wish
from domain.money import show, usd
from pipeline import characters, status
from pipeline.characters import NewCharacter
from pipeline.enqueue import enqueue
from runtime.children import Child
from runtime.crew import crew_of, environment
from runtime.settings import Settings, read_settings

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "lulu-pig"
_NAME = "demo"
_WEIGHT = 100


def demo_settings() -> Settings:
    """The settings of the demo: those of the environment, with the sandbox's own small model for the check."""
    given = read_settings()
    address = f"http://127.0.0.1:{_sandbox_port(given.home)}"
    small = str(Path(sandbox.__file__).resolve().parent / "clip")
    return given.model_copy(update={"sandbox_base_url": address, "clip_model": small})


def _sandbox_port(home: Path) -> int:
    """The same port each time, so that addresses of pictures stay good over a restart."""
    kept = home / "sandbox" / "port"
    if kept.exists():
        return int(kept.read_text())
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(str(port))
    return port


def sandbox_child(settings: Settings, *, latency_s: float, size_px: int) -> Child:
    """`likeness sandbox` as a child of this command, keeping its jobs and its bill below the home."""
    port = str(_sandbox_port(settings.home))
    return Child(
        name="sandbox",
        argv=python_module(
            "cli.main",
            "sandbox",
            f"--port={port}",
            f"--data={settings.home.resolve() / 'sandbox'}",
            f"--latency={latency_s}",
            f"--size={size_px}",
        ),
        env=environment(settings),
        log=settings.home / "logs" / "sandbox.log",
    )


def add_example_character(opened: Opened) -> None:
    """Lulu Pig, with the thresholds that were fitted to the small model and say so."""
    described = tomllib.loads((EXAMPLE / "character.toml").read_text(encoding="utf-8"))
    fitted = described["thresholds"]
    characters.add(
        opened.resources,
        NewCharacter(
            name=described["name"],
            description=described["description"],
            references=[EXAMPLE / name for name in described["references"]],
            core=fitted["core"],
            style=fitted["style"],
            origin=f"{fitted['origin']} ({fitted['date']}, n={fitted['n']}, AUC {fitted['auc']:.3f})",
            model=fitted["model"],
        ),
    )


def batch_name(opened: Opened) -> str:
    """The unfinished demo, or the name of a new one."""
    known = status.latest(opened.resources, user_id=opened.settings.user, limit=1000)
    demos = {one.batch.name: one for one in known if one.batch.name.rpartition("-")[0] in {"", _NAME}}
    demos = {name: one for name, one in demos.items() if name == _NAME or name.startswith(f"{_NAME}-")}
    for name, one in demos.items():
        if not one.over:
            return name
    number = len(demos) + 1
    while (name := _NAME if number == 1 else f"{_NAME}-{number}") in demos:
        number += 1
    return name


def _bill(base_url: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{base_url}/_sandbox/bill", timeout=10) as reply:  # noqa: S310 -- our own loopback
        content: dict[str, Any] = json.load(reply)
        return content


def bill_usd(opened: Opened, batch: status.BatchStatus) -> Decimal:
    """What the sandbox charged, by its own bill: this batch's jobs, and any that no attempt of ours knows of."""
    elsewhere = status.jobs_of_other_batches(opened.resources, batch.batch.id)
    jobs = _bill(str(opened.settings.sandbox_base_url))["jobs"]
    return usd(sum((Decimal(job["charged_usd"]) for job in jobs if job["job_id"] not in elsewhere), Decimal(0)))


def demo_command(
    report: Annotated[Path, typer.Option(help="Where the contact sheet goes.")] = Path("report.html"),
    latency: Annotated[float, typer.Option(min=0, help="Seconds that the stand-in takes for a picture.")] = 0.4,
    size: Annotated[int, typer.Option(min=64, max=1024, help="Side of a picture in pixels.")] = 512,
    as_json: AsJson = False,
) -> None:
    """28 prompts through embedded servers, workers and a stand-in for the provider: nothing to configure."""
    with speaking(as_json=as_json) as terminal:
        raise typer.Exit(demo(terminal, report=report, latency_s=latency, size_px=size))


def demo(terminal: Terminal, *, report: Path, latency_s: float, size_px: int) -> int:
    """Run the demo, or go on with the one that was interrupted; returns the exit code."""
    settings = demo_settings()
    with opened(settings) as site, crew_of(site.settings.home) as crew:

        def members() -> Sequence[Child]:
            return [sandbox_child(site.settings, latency_s=latency_s, size_px=size_px), *workers(site.settings)]

        tend = tending(site, crew, terminal, members=members, checks=True)
        tend()
        add_example_character(site)
        wish = Wish(
            prompts=EXAMPLE / "prompts.csv",
            name=batch_name(site),
            character="lulu-pig",
            provider="sandbox",
            mode="fast",
            cref_weight=_WEIGHT,
            approved_only=True,
        )
        checked = enqueueing.check(wish, site.settings)
        written = enqueue(site.resources, checked.order, enqueueing.planned(site, checked))
        enqueueing.say_enqueued(terminal, written, checked)
        ended = Watch(site.resources, written.batch_id, terminal, tend=tend).until_over()
        billed = bill_usd(site, ended)
        code = conclude(site.resources, ended, terminal, report=report, more={"bill_usd": show(billed)})
        if not terminal.as_json:
            terminal.note(f"the stand-in's own bill says {show(billed)} USD")
        return code
