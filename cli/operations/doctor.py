"""`doctor`: check this installation and say what is missing and what to do. Never shows a key."""

import contextlib
import os
import platform
import shutil
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import get_args

import typer
from pydantic import SecretStr
from rich.console import Group
from rich.table import Table
from rich.text import Text

from cli.batches.blocked_reasons import overdue
from cli.operations import doctor_services
from cli.operations.doctor_broker import broker
from cli.operations.doctor_checks import Check, Health
from cli.options import AsJson
from cli.terminal import OK, Terminal, open_terminal
from domain.errors import LikenessError, ServiceMissing
from pipeline.calibration import scorer_precision
from pipeline.operator import heartbeat, lanes
from pipeline.resources import Resources
from pipeline.views import daily_audit, status
from runtime.embedded.binaries import installed
from runtime.resources import open_producer
from runtime.settings import Settings, read_settings
from runtime.site import Site, is_embedded, open_site
from validation.weights import weight_files

_LITTLE_SPACE, _NO_SPACE = 2_000_000_000, 200_000_000
#: The daily audit is overdue after this long.
_OLD_AUDIT_S = 2 * 24 * 3600.0
_SERVER_ADDRESSES = frozenset({"database_url", "redis_url"})
#: Of an embedded server that does not answer.
_COMES_BACK = "it comes back by itself; ask again in some seconds"
_BUCKET = tuple(name for name in Settings.model_fields if name.startswith("r2_"))


def doctor_command(as_json: AsJson = False) -> None:
    """Check this installation and say what is missing and what to do; starts no worker."""
    with open_terminal(as_json=as_json) as terminal:
        checks = list(examine(read_settings()))
        well = all(check.health is not Health.MISSING for check in checks)
        terminal.document(
            {
                "ok": well,
                "checks": [
                    {"name": one.name, "health": one.health, "found": one.found, "advice": one.advice} for one in checks
                ],
            }
        )
        _show(terminal, checks)
        raise typer.Exit(OK if well else ServiceMissing.exit_code)


def examine(settings: Settings) -> Iterator[Check]:
    """All checks, in order of dependency."""
    yield Check(name="likeness", found=f"{version('likeness')} on Python {platform.python_version()}")
    yield _guarded("home", lambda: _home(settings))
    if is_embedded(settings):
        yield _guarded("embedded servers", _wheels)
    yield from _servers(settings)
    yield _guarded("bucket", lambda: doctor_services.bucket(settings))
    yield doctor_services.public_url(settings)
    yield from _keys(settings)
    if settings.public_url is not None:
        yield _public_address(settings.public_url)
    yield from _models(settings)
    yield _torch()


def _guarded(name: str, check: Callable[[], Check]) -> Check:
    """Run the check; a failure becomes its result."""
    try:
        return check()
    except LikenessError as failure:
        found, _, advice = str(failure).partition(". ")
        return Check(name=name, health=Health.MISSING, found=found, advice=advice)
    except OSError as failure:
        found = f"{failure.filename or name}: {failure.strerror or failure}"
        return Check(name=name, health=Health.MISSING, found=found, advice="check that path and its permissions")


def _home(settings: Settings) -> Check:
    home = settings.home.resolve()
    home.mkdir(parents=True, exist_ok=True)
    if not os.access(home, os.W_OK):
        advice = "change its permissions, or set LIKENESS_HOME to a folder of your own"
        return Check(name="home", health=Health.MISSING, found=f"{home} is not writable", advice=advice)
    free = shutil.disk_usage(home).free
    found = f"{home}, {free / 1e9:.1f} GB free"
    if free < _LITTLE_SPACE:
        health = Health.MISSING if free < _NO_SPACE else Health.NOTE
        return Check(name="home", health=health, found=found, advice="free some space; four pictures take about 8 MB")
    return Check(name="home", found=found)


def _wheels() -> Check:
    programs = installed()
    return Check(name="embedded servers", found=f"from the wheels: {', '.join(one.name for one in programs.all())}")


def _servers(settings: Settings) -> Iterator[Check]:
    """Check Postgres and Redis, and what the database records."""
    with contextlib.ExitStack() as stack:
        try:
            site = stack.enter_context(open_site(settings))
        except (LikenessError, OSError) as failure:
            yield Check(name="servers", health=Health.MISSING, found=str(failure).partition("\n")[0])
            return
        address = site.settings.redis_url
        assert address is not None
        yield _guarded("Redis", lambda: _broker(site, address))
        yield from _books(site, stack)


def _broker(site: Site, address: SecretStr) -> Check:
    url, where = address.get_secret_value(), _where(site, address)
    return broker(url, where=where) if site.servers is None else broker(url, where=where, advice=_COMES_BACK)


def _books(site: Site, stack: contextlib.ExitStack) -> Iterator[Check]:
    try:
        # The bucket has its own check, and must not prevent those of the database.
        unstored = site.settings.model_copy(update=dict.fromkeys(_BUCKET))
        resources = stack.enter_context(open_producer(unstored, application="likeness doctor"))
    except (LikenessError, OSError) as failure:
        advice = "start it, or correct DATABASE_URL" if site.servers is None else _COMES_BACK
        yield Check(name="Postgres", health=Health.MISSING, found=str(failure).partition("\n")[0], advice=advice)
        return
    assert site.settings.database_url is not None
    with resources.database.transaction() as connection:
        number = ".".join(map(str, connection.dialect.server_version_info or ()))
    yield Check(name="Postgres", found=f"{number}, {_where(site, site.settings.database_url)}")
    yield _lanes(resources)
    yield _jobs(resources)
    yield _tick(resources, brought=site.servers is not None)
    yield _guarded("clocks", lambda: doctor_services.clocks(resources))
    yield _audit(resources)
    yield _arithmetic(resources)
    yield from doctor_services.models(resources)


def _where(site: Site, address: SecretStr) -> str:
    """Host, port and database, without user and password."""
    place = address.get_secret_value().rpartition("@")[2].partition("?")[0]
    return f"embedded at {place}" if site.servers is not None else place


def _lanes(resources: Resources) -> Check:
    rows = lanes.list_lanes(resources)
    if not resources.lanes:
        advice = "put a provider's key into .env, such as TTAPI_API_KEY; `likeness demo` needs none"
        return Check(name="lanes", health=Health.MISSING, found="none has a key here", advice=advice)
    closed = [f"{row.name} ({row.reason})" for row in rows if row.reason is not None]
    if closed:
        advice = "`likeness lanes` says until when; `likeness lanes open NAME` opens one"
        return Check(name="lanes", health=Health.NOTE, found=f"closed: {', '.join(closed)}", advice=advice)
    return Check(name="lanes", found=f"open: {', '.join(sorted(resources.lanes))}")


def _jobs(resources: Resources) -> Check:
    late = status.overdue_jobs(resources)
    if not late:
        return Check(name="jobs", found="none is overdue")
    return Check(name="jobs", health=Health.NOTE, found=f"{len(late):,} overdue", advice="; ".join(overdue(late)))


def _tick(resources: Resources, *, brought: bool) -> Check:
    """Whether anything moves; `brought` says that `likeness run` brings workers, as it does for embedded servers."""
    silence = heartbeat.silence_s(resources)
    if silence is not None and silence <= heartbeat.SILENCE_S:
        return Check(name="beat", found=f"last tick {silence:.0f} s ago")
    found = "no tick yet" if silence is None else f"last tick {silence:,.0f} s ago"
    advice = "nothing moves now; `likeness run` brings its workers, `likeness up` keeps them running"
    if not brought:
        advice = (
            "nothing moves now; since DATABASE_URL is set, `likeness run` brings no workers: `likeness up` runs them"
            " here, `likeness worker beat` and `likeness worker io` run them anywhere"
        )
    return Check(name="beat", health=Health.NOTE, found=found, advice=advice)


def _audit(resources: Resources) -> Check:
    """The result of the daily audit; `likeness audit` runs one now."""
    look = daily_audit.latest_audit(resources)
    if look is None:
        advice = "beat has one made once a day; `likeness audit` makes one now"
        return Check(name="audit", health=Health.NOTE, found="none yet", advice=advice)
    ago = f"{look.age_s / 3600:.0f} h ago"
    if look.said:
        found = f"{ago}: {len(look.said)} differences, the first: {look.said[0]}"
        return Check(name="audit", health=Health.NOTE, found=found, advice="`likeness audit` names them all as of now")
    if look.age_s > _OLD_AUDIT_S:
        advice = "is beat running? `likeness audit` makes one now"
        return Check(name="audit", health=Health.NOTE, found=f"the last one was {ago}", advice=advice)
    return Check(name="audit", found=f"{ago}: the books add up")


def _arithmetic(resources: Resources) -> Check:
    """The device and precision of the scoring model, as recorded by the last scorer."""
    seen = scorer_precision.describe_precisions(resources)
    if not seen:
        advice = "a gpu worker, or `likeness validate`, measures at its start which arithmetic is fast and close enough"
        return Check(name="arithmetic", health=Health.NOTE, found="no scorer has run yet", advice=advice)
    if len(seen) > 1:
        advice = "scores of two are never mixed; each keeps embeddings of its own"
        return Check(name="arithmetic", health=Health.NOTE, found="; before that ".join(seen), advice=advice)
    return Check(name="arithmetic", found=seen[0])


def _keys(settings: Settings) -> Iterator[Check]:
    """Which keys are set, without their values."""
    for name, field in Settings.model_fields.items():
        if SecretStr in (field.annotation, *get_args(field.annotation)) and name not in _SERVER_ADDRESSES:
            secret: SecretStr | None = getattr(settings, name)
            there = secret is not None and secret.get_secret_value().strip() != ""
            yield Check(
                name=str(field.validation_alias or name),
                health=Health.OK if there else Health.NOTE,
                found="set" if there else "not set",
                advice="" if there else str(field.description or ""),
            )


def _public_address(url: str) -> Check:
    """Whether every service can call the public address."""
    if url.startswith("https://"):
        return Check(name="public address", found=url)
    advice = "put a proxy with TLS before `likeness worker api`, and name its https address"
    return Check(
        name="public address", health=Health.NOTE, found=f"{url}, where Replicate does not call back", advice=advice
    )


def _models(settings: Settings) -> Iterator[Check]:
    model, reads = settings.clip_model, settings.analysis_weights
    yield _guarded("scoring model", lambda: _weights(model, name="scoring model", user="check"))
    if reads != model:
        yield _guarded("analysis model", lambda: _weights(reads, name="analysis model", user="analysis"))


def _weights(model: str, *, name: str, user: str) -> Check:
    """Whether weights are here; `user` is what downloads them where they are not."""
    files = weight_files(model)
    if files:
        size = sum(path.stat().st_size for path in files)
        return Check(name=name, found=f"{_short(model)}, {size / 1e6:,.0f} MB on this machine")
    advice = f"the first {user} downloads it; `likeness models fetch` does so now"
    return Check(name=name, health=Health.NOTE, found=f"{model} is not on this machine", advice=advice)


def _short(model: str) -> str:
    return Path(model).name if Path(model).is_dir() else model


def _torch() -> Check:
    try:
        return Check(name="torch", found=f"{version('torch')} with transformers {version('transformers')}")
    except PackageNotFoundError as failure:
        advice = "needed by the gpu role alone; `uv sync --group gpu` installs it"
        return Check(name="torch", health=Health.NOTE, found=f"{failure.name} is not installed", advice=advice)


def _show(terminal: Terminal, checks: list[Check]) -> None:
    colours = {Health.OK: "green", Health.NOTE: "yellow", Health.MISSING: "bold red"}
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for one in checks:
        cell = Group(Text(one.found), Text(one.advice, style="dim")) if one.advice else Text(one.found)
        table.add_row(Text(one.health, style=colours[one.health]), one.name, cell)
    terminal.show(table)
