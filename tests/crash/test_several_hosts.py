"""Every role, Postgres, Redis and the provider on a host of its own: each link is cut and healed under load."""

import dataclasses
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from db.session import Database, DatabaseAway
from domain.errors import ServiceMissing
from pipeline.characters import definitions
from pipeline.characters.definitions import NewCharacter
from pipeline.resources import Resources
from runtime.crew import role
from runtime.embedded.stack import Servers, shared
from runtime.resources import open_producer
from runtime.settings import Settings
from runtime.supervisor import Supervisor
from sandbox.process import running
from tests.crash.conftest import family
from tests.crash.invariants import breaches, waiting
from tests.crash.wires import REPLICATE, TTAPI, ordered, settings_for
from tests.support.commands import ROOT, bill, wait_for
from tests.support.hosts import Network, network_of, served_at

#: Longer than a lease of three seconds, so that others take over meanwhile.
CUT_S = 5.0
WORKERS = {"io-1": "io", "io-2": "io", "gpu": "gpu", "beat": "beat"}
#: Jobs whose pictures are stored, then the host that is cut off, and whether its replies merely vanish.
CUTS = ((3, "io-1", True), (10, "redis", False), (17, "postgres", True))
PROMPTS = 14
ENDED = "generations WHERE completed_at IS NOT NULL"


@contextmanager
def server_on(network: Network, host: str, home: Path) -> Iterator[Servers]:
    """Embedded servers whose processes run on that host."""
    with ExitStack() as stack:
        with network.inside(host):
            servers = stack.enter_context(shared(home))
        yield servers


def moved(url: str, address: tuple[str, int]) -> SecretStr:
    """The same address of a server, at another host."""
    parts = urlsplit(url)
    user, _, _ = parts.netloc.rpartition("@")
    return SecretStr(parts._replace(netloc=f"{user}@{address[0]}:{address[1]}").geturl())


@contextmanager
def cluster(network: Network, folder: Path) -> Iterator[tuple[Settings, Resources, dict[str, tuple[str, int]]]]:
    """The hosts' servers and the producer's resources; the calling thread is on the producer's host."""
    with ExitStack() as stack:
        stack.enter_context(network.inside("producer"))
        with network.inside("provider"):
            url = stack.enter_context(
                running(folder / "sandbox", latency_s=0.3, size_px=64, host=network.address("provider"))
            )
        postgres = stack.enter_context(server_on(network, "postgres", folder / "home"))
        redis = stack.enter_context(server_on(network, "redis", folder / "redis"))
        at = {
            name: stack.enter_context(served_at(network, name, port=urlsplit(address).port or 0))
            for name, address in (("postgres", postgres.libpq_url), ("redis", redis.redis_url))
        }
        at["provider"] = (network.address("provider"), urlsplit(url).port or 0)
        settings = settings_for(
            url,
            home=folder / "home",
            database_url=moved(postgres.libpq_url, at["postgres"]),
            redis_url=moved(redis.redis_url, at["redis"]),
            sandbox_rate_limit="2/s",
            replicate_rate_limit="2/s",
        )
        yield settings, stack.enter_context(open_producer(settings, application="likeness crash test")), at


@contextmanager
def workers_on(network: Network, settings: Settings) -> Iterator[Supervisor]:
    with family() as crew:
        for host, name in WORKERS.items():
            child = role(name, settings)
            crew.start(dataclasses.replace(child, name=host, argv=network.command(host, child.argv)))
        yield crew


def counted(resources: Resources, rows: str) -> int:
    try:
        with resources.database.transaction() as connection:
            number: int = connection.execute(text(f"SELECT count(*) FROM {rows}")).scalar_one()
    except ServiceMissing:
        return 0
    return number


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_every_link_may_be_cut_and_healed() -> None:
    with ExitStack() as stack:
        network = stack.enter_context(network_of("producer", *WORKERS, "postgres", "redis", "provider"))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="likeness-hosts-")))
        # Embedded PostgreSQL runs as an unprivileged user, and must reach its folder.
        folder.chmod(0o711)
        settings, resources, at = stack.enter_context(cluster(network, folder))
        reference = ROOT / "examples" / "lulu-pig" / "references" / "lulu_pig_ref_1.png"
        character = NewCharacter(
            name="lulu", description="", references=[reference], core=0.5, style=-1.0, origin="chosen for this test"
        )
        definitions.add(resources, character)
        for wire in (TTAPI, REPLICATE):
            hills = [f"Lulu Pig on {wire.provider} hill {number}" for number in range(PROMPTS)]
            ordered(resources, wire, folder / f"{wire.provider}.csv", hills, character="lulu")
        with workers_on(network, settings):
            for enough, host, silently in CUTS:
                wait_for(partial(_stored, resources, enough), what=f"{enough} stored jobs", timeout_s=120)
                cut_off(network, host, at["provider"], silently=silently)
            # Loading the model takes longest, so the checks come last.
            wait_for(lambda: counted(resources, ENDED) > 0, what="the first check", timeout_s=240)
            cut_off(network, "gpu", at["postgres"], silently=False)
            wait_for(lambda: _quiet(resources), what="every generation to end", timeout_s=240)
        assert breaches(resources, bill(str(settings.sandbox_base_url))) == []
        assert counted(resources, ENDED) == 2 * PROMPTS, "nothing was lost"


@pytest.mark.slow
@pytest.mark.timeout(200)
@pytest.mark.parametrize("asked", ["before", "after"])
def test_a_postgres_that_died_without_a_word_is_let_go(asked: str) -> None:
    """Asked before its end, it has our question and owes an answer; asked after it, it never hears the question.

    The thread that asks asks for a whole group: everybody who has something to write waits for it.
    """
    with ExitStack() as stack:
        network = stack.enter_context(network_of("worker", "postgres"))
        stack.enter_context(network.inside("worker"))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="likeness-hosts-")))
        folder.chmod(0o711)
        postgres = stack.enter_context(server_on(network, "postgres", folder / "home"))
        at = stack.enter_context(served_at(network, "postgres", port=urlsplit(postgres.libpq_url).port or 0))
        database = Database(moved(postgres.libpq_url, at).get_secret_value())
        stack.callback(database.close)
        lost: list[str] = []

        def ask() -> None:
            with network.inside("worker"), database.transaction() as connection:
                if asked == "after":
                    begun.set()
                    assert cut.wait(30)
                threading.Timer(1.0, begun.set).start()
                connection.execute(text("SELECT pg_sleep(3600)"))

        def asking() -> None:
            try:
                ask()
            except DatabaseAway as away:
                lost.append(str(away))

        begun, cut = threading.Event(), threading.Event()
        thread = threading.Thread(target=asking)
        thread.start()
        assert begun.wait(30)
        with network.cut("postgres", silently=True):
            cut.set()
            thread.join(60)
            assert len(lost) == 1


def cut_off(network: Network, host: str, other: tuple[str, int], *, silently: bool) -> None:
    """The host is without its link for longer than a lease; `other` is what it reaches before."""
    assert network.reaches(host, other)
    with network.cut(host, silently=silently):
        assert not network.reaches(host, other), f"{host} is cut off"
        time.sleep(CUT_S)


def _stored(resources: Resources, least: int) -> bool:
    return counted(resources, "attempts WHERE stored_at IS NOT NULL") >= least


def _quiet(resources: Resources) -> bool:
    try:
        return waiting(resources.database) == 0
    except ServiceMissing:
        return False
