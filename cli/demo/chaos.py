"""`demo --chaos`: one batch over three services and six models, with everything that can go wrong going wrong.

It has a home of its own below the demo's, with servers, books and lanes that no other batch shares: a real account's
lane bears the same name as the one that leads to the sandbox here.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from cli.batches import enqueueing
from cli.batches.enqueue_options import EnqueueOptions
from cli.batches.watch import Watch, conclude
from cli.batches.watch_screen import watch_batches
from cli.demo import chaos_books, stand_in
from cli.demo.chaos_books import AtProvider
from cli.installation import Opened, opened, tending
from cli.sandbox_child import address, port_of, sandbox_child
from cli.tables import table_of
from cli.terminal import ENDED_OTHERWISE, OK, Terminal
from domain.errors import KeyRefused, OutOfMoney, ProviderError, ServiceMissing
from domain.ids import BatchId
from domain.money import show, usd
from pipeline.intake.commit import commit
from pipeline.intake.plan import Plan, prepare
from pipeline.intake.prompt_check import refuse_objectionable
from pipeline.operator import lanes
from pipeline.views.by_provider import by_provider, count_active
from pipeline.views.status import BatchStatus
from runtime.crew import crew_of, workers
from runtime.sandbox_settings import sandbox_settings
from runtime.settings import Settings, read_settings
from runtime.supervisor import Child

PROMPTS: Final = stand_in.EXAMPLES / "chaos" / "prompts.csv"
_NAME: Final = "chaos"
_STARTING_S: Final = 90.0
_LOOK_EVERY_S: Final = 1.0
#: Only a person can help against these; here that person comes at once.
_NEEDS_A_PERSON: Final = tuple(kind("").code for kind in (OutOfMoney, KeyRefused))
_SOON: Final = timedelta(seconds=15)


@dataclass(frozen=True, slots=True, kw_only=True)
class Storm:
    """How much goes wrong.

    Args:
        rate: of all calls, from 0 to 1.
        seed: of the sandbox's dice.
    """

    rate: float
    seed: int


def chaos_settings() -> Settings:
    """Those of the environment, in a home below theirs, with all three services played by its sandbox."""
    given = read_settings()
    home = given.home / _NAME
    alone = given.model_copy(
        update={
            "home": home,
            "database_url": None,
            "redis_url": None,
            "pictures": None,
            "clip_model": stand_in.SMALL_MODEL,
            "analysis_model": None,
            # The sandbox answers in fractions of a second, so silence tells more, sooner.
            "listings_apart_s": 5.0,
        }
    )
    called_back_at = port_of(home / "api")
    return sandbox_settings(alone, address(home)).model_copy(
        update={"public_url": f"http://127.0.0.1:{called_back_at}", "api_port": called_back_at}
    )


def chaos_demo(terminal: Terminal, storm: Storm, *, report: Path, latency_s: float, size_px: int) -> int:
    """Run the batch, or go on with the one that was interrupted; returns the exit code."""
    with opened(chaos_settings()) as site, crew_of(site.settings.home) as crew:

        def members() -> Sequence[Child]:
            stand = sandbox_child(site.settings, latency_s=latency_s, size_px=size_px)
            return [stand, *workers(site.settings)]

        tend = tending(site, crew, terminal, members=members, checks=True)
        tend()
        stand_in.add_example_character(site)
        weather = Weather(site, storm, tend=tend)
        weather.rise()
        name = stand_in.batch_name(site, _NAME, is_over=lambda one: _is_over(site, one))
        options = EnqueueOptions(prompts=PROMPTS, name=name)
        plan = prepare(site.resources, options.order(options.read(), user_id=site.settings.user))
        _check_prompts(site, terminal, plan)
        written = commit(site.resources, plan)
        enqueueing.say_enqueued(terminal, plan, written)
        watch = Watch(site.resources, written.batch_id, terminal, tend=lambda: weather.pass_over(written.batch_id))
        (ended,) = watch_batches(site.resources, [watch], terminal, user=site.settings.user)
        return _conclude(site, ended, terminal, weather, report=report)


def _check_prompts(site: Opened, terminal: Terminal, plan: Plan) -> None:
    """Ask beforehand, as `--check-prompts` does; in a storm a check that cannot be had is no reason to stay at home."""
    try:
        terminal.note(refuse_objectionable(site.resources, plan).counts())
    except ProviderError as failure:
        terminal.note(f"the prompts could not be checked beforehand: {failure}")


def _is_over(site: Opened, batch: BatchStatus) -> bool:
    """Whether only doubts are left that nobody but a person can settle."""
    return not any(count_active(books) for books in by_provider(site.resources, batch.batch.id))


@dataclass(slots=True)
class Weather:
    """The faults at the sandbox, and the operator who meanwhile does what only a person can do.

    Args:
        tend: what the watching command does every round anyway.
        opened_again: lanes that were out of money or had their key refused, as often as somebody saw to it.
    """

    site: Opened
    storm: Storm
    tend: Callable[[], None]
    opened_again: Counter[str] = field(default_factory=Counter)
    _over: bool = False
    _looked_at: float = 0.0

    @property
    def _url(self) -> str:
        return str(self.site.settings.sandbox_base_url)

    def rise(self) -> None:
        """Arm the faults, once the sandbox listens.

        Raises:
            ServiceMissing: it never does.
        """
        wanted = {"profile": "chaos", "rate": self.storm.rate, "seed": self.storm.seed}
        until = time.monotonic() + _STARTING_S
        while True:
            self.tend()
            try:
                stand_in.ask(self._url, "/_sandbox/faults", method="DELETE")
                stand_in.ask(self._url, "/_sandbox/faults", method="POST", content=wanted)
            except OSError as error:
                if time.monotonic() > until:
                    raise ServiceMissing(f"the sandbox does not answer at {self._url}: {error}") from error
                time.sleep(0.2)
            else:
                return

    def pass_over(self, batch_id: BatchId) -> None:
        """One round: lanes are seen to, and when only jobs that are stuck are left, the faults come to their end."""
        self.tend()
        if time.monotonic() - self._looked_at < _LOOK_EVERY_S:
            return
        self._looked_at = time.monotonic()
        try:
            self._see_to_lanes()
            if not self._over and self._only_stuck(batch_id):
                stand_in.ask(self._url, "/_sandbox/faults", method="DELETE")
                self._over = True
        except (ServiceMissing, OSError):
            return  # away for a moment; the watch itself says so where it lasts

    def _see_to_lanes(self) -> None:
        for lane in lanes.list_lanes(self.site.resources):
            waits = lane.closed_until is not None and lane.closed_until > datetime.now(UTC) + _SOON
            if waits and (lane.reason or "").startswith(_NEEDS_A_PERSON):
                lanes.reopen(self.site.resources, lane.name)
                self.opened_again[lane.name] += 1

    def _only_stuck(self, batch_id: BatchId) -> bool:
        stuck = len(stand_in.ask(self._url, "/_sandbox/faults")["stuck"])
        left = sum(map(count_active, by_provider(self.site.resources, batch_id)))
        return stuck > 0 and left <= stuck

    def happened(self) -> list[dict[str, Any]]:
        """Every call that met a fault."""
        found: list[dict[str, Any]] = stand_in.ask(self._url, "/_sandbox/happened")["happened"]
        return found


def _conclude(site: Opened, ended: BatchStatus, terminal: Terminal, weather: Weather, *, report: Path) -> int:
    happened = weather.happened()
    parts = chaos_books.parts(site, ended)
    failures = chaos_books.failures(site, ended, happened)
    breaches = chaos_books.breaches(site, parts, failures)
    met = Counter(one["provider"] for one in happened)
    calls = Counter(one["where"] for one in happened)
    more = {
        "promises": "broken" if breaches else "kept",
        "breaches": breaches,
        "providers": [{**part.as_json(), "faults_met": met[part.books.provider]} for part in parts],
        "faults_met_by_call": dict(calls),
        "failures": [failure.as_json() for failure in failures],
        "bill_usd": show(usd(sum((part.bill_usd for part in parts), Decimal(0)))),
        "rate": weather.storm.rate,
        "seed": weather.storm.seed,
        "opened_again": dict(weather.opened_again),
    }
    conclude(site.resources, ended, terminal, report=report, more=more, advise=False)
    if not terminal.as_json:
        _say(terminal, site, parts, breaches=breaches, met=met)
    # In a storm some prompts must fail; what it is about is whether the promises were kept.
    return ENDED_OTHERWISE if breaches else OK


def _say(
    terminal: Terminal,
    site: Opened,
    parts: Sequence[AtProvider],
    *,
    breaches: Sequence[str],
    met: Counter[str],
) -> None:
    numbers = ("prompts", "faults met", "jobs", "charged", "bill", "in doubt")
    table = table_of("", *numbers, numbers=numbers)
    for part in parts:
        books = part.books
        table.add_row(
            books.provider,
            str(books.total),
            str(met[books.provider]),
            str(part.jobs),
            f"${show(books.charged_usd)}",
            f"${show(part.bill_usd)}",
            f"${show(books.in_doubt_usd)}",
        )
    terminal.show(table)
    for part in parts:
        if part.books.failures:
            reasons = ", ".join(f"{number} {code}" for code, number in sorted(part.books.failures.items()))
            terminal.note(f"failed at {part.books.provider}: {reasons}")
    if breaches:
        for sentence in breaches:
            terminal.note(f"broken: {sentence}")
    else:
        terminal.note(
            "kept: nothing was paid twice, no generation is lost, and what was charged is what was billed"
            + ("" if all(part.books.in_doubt == 0 for part in parts) else ", but for what is in doubt")
        )
    terminal.note(f"its books are in a home of their own: LIKENESS_HOME={site.settings.home} likeness list")
