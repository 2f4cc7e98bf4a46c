"""What the sandbox tells about itself, and the example character: for `demo`."""

import json
import tomllib
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import sandbox
from cli.installation import Opened
from pipeline.characters import definitions
from pipeline.characters.definitions import NewCharacter
from pipeline.views import status
from pipeline.views.status import BatchStatus

EXAMPLES: Final = Path(__file__).resolve().parents[2] / "examples"
EXAMPLE: Final = EXAMPLES / "lulu-pig"
#: The sandbox's own small model, with which the check costs no download.
SMALL_MODEL: Final = str(Path(sandbox.__file__).resolve().parent / "clip")
# What lies on loopback is not asked for through a proxy of the environment.
_OPENER: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def ask(base_url: str, path: str, *, method: str = "GET", content: dict[str, Any] | None = None) -> dict[str, Any]:
    """What the sandbox says at an address of its own, like `/_sandbox/bill`; raises `OSError` where it is away."""
    request = urllib.request.Request(  # noqa: S310 -- our own loopback
        f"{base_url}{path}",
        data=None if content is None else json.dumps(content).encode(),
        headers={"content-type": "application/json"},
        method=method,
    )
    with _OPENER.open(request, timeout=10) as reply:
        said: dict[str, Any] = json.load(reply)
        return said


def jobs_of(opened: Opened, batch: BatchStatus) -> list[dict[str, Any]]:
    """The jobs on the sandbox's bill that are this batch's, and any that no attempt of ours knows of."""
    elsewhere = status.jobs_of_other_batches(opened.resources, batch.batch.id)
    jobs = ask(str(opened.settings.sandbox_base_url), "/_sandbox/bill")["jobs"]
    return [job for job in jobs if job["job_id"] not in elsewhere]


def add_example_character(opened: Opened) -> None:
    """Lulu Pig, with the thresholds that were fitted to the small model and say so."""
    described = tomllib.loads((EXAMPLE / "character.toml").read_text(encoding="utf-8"))
    fitted = described["thresholds"]
    definitions.add(
        opened.resources,
        NewCharacter(
            name=described["name"],
            description=described["description"],
            references=[EXAMPLE / name for name in described["references"]],
            core=fitted["core"],
            style=fitted["style"],
            origin=f"{fitted['origin']} ({fitted['date']}, n={fitted['n']}, core AUC {fitted['auc']:.3f})",
            model=fitted["model"],
            style_decides=fitted["style_decides"],
        ),
        by=opened.actor,
    )


def batch_name(opened: Opened, base: str, *, is_over: Callable[[BatchStatus], bool]) -> str:
    """The unfinished batch among `base`, `base-2`, ..., or the name of a new one."""
    known = status.latest(opened.resources, user_id=opened.settings.user, limit=1000)
    mine = {one.batch.name: one for one in known if one.batch.name == base or one.batch.name.startswith(f"{base}-")}
    for name, one in mine.items():
        if not is_over(one):
            return name
    number = len(mine) + 1
    while (name := base if number == 1 else f"{base}-{number}") in mine:
        number += 1
    return name
