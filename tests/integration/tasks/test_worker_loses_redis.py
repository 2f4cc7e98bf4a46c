"""A worker whose Redis dies under it goes on with the next one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.worker_cluster import OTHER, Cluster

#: Without the guards of our consumer a worker ends at two of five deaths.
DEATHS = 8


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path)
    yield cluster
    cluster.close()


@pytest.mark.slow
def test_a_worker_outlives_every_death_of_redis_and_runs_what_is_left(cluster: Cluster) -> None:
    cluster.start_worker("one")
    for death in range(DEATHS):
        for number in range(10):
            cluster.other.delay(death * 10 + number if number % 2 else -1 - number)
        cluster.until(lambda: cluster.unacked() > 0)
        cluster.lose_redis()
        cluster.client.set("go on", 1)
        cluster.until(lambda: bool(cluster.app.control.ping(["one@test"], timeout=0.5)))
        assert cluster.workers["one"].poll() is None, (cluster.folder / "one.log").read_text()
        cluster.client.delete("go on")
    cluster.client.set("go on", 1)
    cluster.other.delay(1000)
    cluster.until(lambda: 1000 in cluster.numbers(OTHER))
    assert "Unrecoverable" not in (cluster.folder / "one.log").read_text()
