"""The composition root: build the resources of a process from its settings, and close them in order."""

import contextlib
import random
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from db.migrate import is_current, migrate
from db.session import Database, DatabaseAway
from domain.errors import ServiceMissing
from pipeline.process.fault_points import DieOnce, FaultPoints, Unarmed
from pipeline.process.measures import Measures, Unmeasured
from pipeline.process.near_duplicates import NearDuplicates
from pipeline.process.traces import Traces, Untraced
from pipeline.resources import Dispatch, Resources, Timing
from runtime.picture_stores import open_store, open_store_of_work
from runtime.settings import Settings
from runtime.site import next_step

if TYPE_CHECKING:
    import celery

    from pipeline.process.embedding_cache import KeptEmbeddings
    from providers.contract import Lane
    from validation.base import Scorer

#: Submission deadline assumed by a process that has no lanes.
_UNKNOWN_CALL = timedelta(minutes=10)


def server_urls(settings: Settings) -> tuple[str, str]:
    """Addresses of Postgres and Redis.

    Raises:
        ServiceMissing: one is not set. Commands that may start embedded servers have set both by now, so only a worker
            can lack them.
    """
    if settings.database_url is None or settings.redis_url is None:
        missing = "DATABASE_URL" if settings.database_url is None else "REDIS_URL"
        raise ServiceMissing(
            f"{missing} is not set; a worker needs DATABASE_URL and REDIS_URL, and starts no servers:"
            " name yours, or use `likeness up`, which runs servers and workers here"
        )
    return settings.database_url.get_secret_value(), settings.redis_url.get_secret_value()


def timing_of(settings: Settings, lanes: Iterable["Lane"]) -> Timing:
    # A little longer than any submission, so that none is settled while its reply may still come.
    totals = {lane.name: timedelta(seconds=lane.submit_total_s + 5) for lane in lanes}
    return Timing(
        unclaimed=timedelta(seconds=settings.unclaimed_s),
        listings_apart=timedelta(seconds=settings.listings_apart_s),
        deaths_alone=settings.deaths_alone,
        job_overdue=None if settings.timeout_s is None else timedelta(seconds=settings.timeout_s),
        poll_every=None if settings.poll_interval_s is None else timedelta(seconds=settings.poll_interval_s),
        call_total=max(totals.values(), default=_UNKNOWN_CALL),
        call_totals=totals,
        illegal_prompts=settings.ttapi_illegal_prompts,
        illegal_limit=settings.ttapi_illegal_limit,
    )


def _migrate(settings: Settings, database: Database) -> None:
    """Bring the schema up to date, by the direct address where there is one."""
    direct_url = settings.database_direct_url
    if direct_url is None or is_current(database):
        migrate(database)
        return
    with contextlib.closing(
        Database(direct_url.get_secret_value(), pool_size=2, application="likeness migration")
    ) as direct:
        try:
            direct.check()
        except DatabaseAway as away:
            raise DatabaseAway(f"{away}; check DATABASE_DIRECT_URL") from away
        migrate(direct)


def _check(settings: Settings, database: Database) -> None:
    """Look whether Postgres answers.

    Raises:
        DatabaseAway: it does not; the sentence says what to do where it runs.
    """
    try:
        database.check()
    except DatabaseAway as away:
        raise DatabaseAway(f"{away}; {next_step(settings)}") from away


def fault_points_of(settings: Settings) -> FaultPoints:
    """The fault points that a crash test has armed; normally none."""
    if not settings.die_at:
        return Unarmed()
    folder = settings.home / "deaths"
    folder.mkdir(parents=True, exist_ok=True)
    return DieOnce(folder, frozenset(settings.die_at.split(",")))


@contextlib.contextmanager
def open_embeddings(settings: Settings, *, application: str) -> Iterator["KeptEmbeddings"]:
    """The embedding cache in Postgres, for a scorer that is loaded before the resources are open.

    Raises:
        ServiceMissing: Postgres is not reachable, or its address is missing.
    """
    # Imported here, because it imports NumPy, which read-only commands do not need.
    from pipeline.process.embedding_cache import KeptEmbeddings

    database_url, _ = server_urls(settings)
    database = Database(database_url, pool_size=2, application=application)
    with contextlib.closing(database):
        _check(settings, database)
        _migrate(settings, database)
        yield KeptEmbeddings(database)


@contextlib.contextmanager
def open_resources(
    settings: Settings,
    *,
    application: str,
    threads: int = 4,
    scorer: "Scorer | None" = None,
    measures: Measures | None = None,
) -> Iterator[tuple[Resources, "celery.Celery"]]:
    """Everything that the steps of this process need, and its Celery application.

    Migrates the database and creates the rows of configured lanes.

    Raises:
        ServiceMissing: Postgres is not reachable, or an address or key is missing.
    """
    from tasks.dispatch import CeleryDispatch

    _, redis_url = server_urls(settings)
    with (
        _traces(settings, application=application) as traces,
        contextlib.closing(CeleryDispatch(redis_url, traces=traces)) as dispatch,
    ):
        lent = _lent(
            settings,
            application=application,
            threads=threads,
            scorer=scorer,
            dispatch=dispatch,
            measures=measures or Unmeasured(),
            traces=traces,
        )
        with lent as resources:
            yield resources, dispatch.app


@contextlib.contextmanager
def open_producer(settings: Settings, *, application: str, threads: int = 4) -> Iterator[Resources]:
    """The same for a process that only sends tasks, such as a command or a script.

    Raises:
        ServiceMissing: as `open_resources`.
    """
    from tasks.dispatch import CeleryDispatch

    _, redis_url = server_urls(settings)
    with (
        _traces(settings, application=application) as traces,
        contextlib.closing(CeleryDispatch(redis_url, traces=traces)) as dispatch,
        _lent(
            settings,
            application=application,
            threads=threads,
            scorer=None,
            dispatch=dispatch,
            measures=Unmeasured(),
            traces=traces,
        ) as resources,
    ):
        yield resources


@contextlib.contextmanager
def open_reader(settings: Settings, *, application: str) -> Iterator[Resources]:
    """The database and the pictures, for a command that only looks: no lane, no lease, nobody to send a task to.

    So neither Celery nor a client of a service nor a move of an attempt is imported: most of what such a command takes
    is imports.

    Raises:
        ServiceMissing: Postgres is not reachable, or its address is missing.
    """
    database_url, _ = server_urls(settings)
    with contextlib.ExitStack() as stack:
        database = Database(database_url, pool_size=2, application=application)
        stack.callback(database.close)
        _check(settings, database)
        _migrate(settings, database)
        not_lent: Any = _NotLent()
        yield Resources(
            database=database,
            lanes={},
            store=stack.enter_context(open_store(settings)),
            dispatch=not_lent,
            leases=not_lent,
            grouped=not_lent,
            jitter=random.random,
            scoring_model=settings.clip_model,
        )


class _NotLent:
    """Stands for what moves an attempt; a command that reaches for it does more than look, and is to be `opened`."""

    def __getattr__(self, name: str) -> NoReturn:
        raise AssertionError(f"a command that only looks has nothing to {name!r} with")


@contextlib.contextmanager
def _open_database(settings: Settings, *, threads: int, application: str) -> Iterator[Database]:
    """The database at this version's schema."""
    database_url, _ = server_urls(settings)
    database = Database(database_url, pool_size=threads, application=application)
    try:
        _check(settings, database)
        _migrate(settings, database)
        yield database
    finally:
        database.close()


@contextlib.contextmanager
def _traces(settings: Settings, *, application: str) -> Iterator[Traces]:
    if settings.traces is None:
        yield Untraced()
        return
    try:
        from runtime.tracing import exporting
    except ModuleNotFoundError as missing:
        raise ServiceMissing(
            f"LIKENESS_TRACES is set and {missing.name} is not installed: `uv sync --group traces` brings it, in an"
            " image `--build-arg GROUPS='--group traces'`; or unset the variable"
        ) from None

    with exporting(settings.traces, process=application) as traces:
        yield traces


@contextlib.contextmanager
def _lent(
    settings: Settings,
    *,
    application: str,
    threads: int,
    scorer: "Scorer | None",
    dispatch: Dispatch,
    measures: Measures,
    traces: Traces,
) -> Iterator[Resources]:
    from pipeline.process.leases import Leases
    from runtime.lanes import ensure_rows, open_lanes, open_words

    with contextlib.ExitStack() as stack:
        database = stack.enter_context(_open_database(settings, threads=threads, application=application))
        ensure_rows(settings, database)
        lanes = open_lanes(settings)
        for lane in lanes.values():
            stack.callback(lane.close)
        if (words := open_words(settings)) is not None:
            stack.callback(words.close)
        yield Resources(
            database=database,
            lanes=lanes,
            words=words,
            store=stack.enter_context(open_store_of_work(settings)),
            dispatch=dispatch,
            leases=stack.enter_context(contextlib.closing(Leases(database, seconds=settings.lease_s))),
            jitter=random.random,
            timing=timing_of(settings, lanes.values()),
            scorer=scorer,
            scoring_model=settings.clip_model,
            public_url=settings.public_url,
            estimates={"ttapi": settings.ttapi_price_usd},
            near_duplicates=NearDuplicates(least=settings.near_duplicate),
            fault_points=fault_points_of(settings),
            measures=measures,
            traces=traces,
        )
