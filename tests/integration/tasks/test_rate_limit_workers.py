"""The shared rate limit in real Celery workers on a real Redis."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tasks.rate_limit import period_us
from tests.support.worker_cluster import CONCURRENCY, OTHER, SUBMIT, Cluster

#: How long a worker may take to answer on a busy machine; the call returns with the answer.
REPLY_S = 60


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path)
    yield cluster
    cluster.close()


@pytest.mark.slow
@pytest.mark.quiet
def test_two_workers_together_never_exceed_the_limit_and_use_it_well(cluster: Cluster) -> None:
    cluster.limit("20/s")
    cluster.start_worker("one")
    cluster.start_worker("two")
    for number in range(160):
        cluster.submit.delay(number)
    cluster.until(lambda: len(cluster.ran()) == 160)
    runs = sorted(cluster.ran(), key=lambda run: run[1])
    starts = [start for _, start, _, _ in runs]
    # A start is later than its token by the way through the pool; on a busy machine that takes its time, and a window
    # of starts may be narrower than one of tokens by as much, never by more.
    window_s = 1 - max(start - taken for _, start, taken, _ in runs)
    assert not [1 for first, last in zip(starts, starts[20:], strict=False) if last - first <= window_s]
    assert 159 / (starts[-1] - starts[0]) > 0.6 * 20
    assert len({pid for *_, pid in runs}) == 2


def test_held_submissions_do_not_hold_up_other_tasks(cluster: Cluster) -> None:
    cluster.limit("1/h")
    cluster.start_worker("one")
    for number in range(30):
        cluster.submit.delay(number)
    cluster.until(lambda: (len(cluster.ran()), cluster.unacked()) == (1, 29))
    for number in range(200):
        cluster.other.delay(number)
    cluster.until(lambda: len(cluster.ran(OTHER)) == 200)
    assert len(cluster.ran()) == 1
    assert cluster.unacked() >= 29


def test_copies_of_a_held_submission_take_no_token(cluster: Cluster) -> None:
    """Rescue publishes again what nobody began; a lane that is slower than that would spend its tokens on copies."""
    cluster.limit("1/h")
    cluster.start_worker("one")
    cluster.submit.delay(0)
    cluster.until(lambda: len(cluster.ran()) == 1)
    for number in (1, 2, 1, 1, 2):
        cluster.submit.delay(number)
    cluster.until(lambda: (cluster.client.llen("submit"), cluster.unacked()) == (0, 2))
    cluster.limit("0")
    cluster.until(lambda: len(cluster.ran()) == 3 and cluster.unacked() == 0)
    assert cluster.numbers() == [0, 1, 2]
    cluster.submit.delay(1)  # after it ran it is a message like any other
    cluster.until(lambda: len(cluster.ran()) == 4)
    cluster.until(lambda: cluster.prefetch_count("one") == CONCURRENCY)


def test_a_stopped_worker_gives_held_submissions_back_and_the_next_one_runs_them(cluster: Cluster) -> None:
    cluster.limit("1/h")
    cluster.start_worker("one")
    for number in range(30):
        cluster.submit.delay(number)
    cluster.until(lambda: (len(cluster.ran()), cluster.unacked()) == (1, 29))
    assert cluster.stop_worker("one") == 0
    assert (len(cluster.ran()), cluster.client.llen("submit"), cluster.unacked()) == (1, 29, 0)
    cluster.limit("0")
    cluster.start_worker("two")
    cluster.until(lambda: len(cluster.ran()) == 30)
    assert cluster.numbers() == list(range(30))


def test_a_limit_told_to_one_worker_reaches_the_row_and_every_worker(cluster: Cluster) -> None:
    cluster.limit("1/h")
    cluster.start_worker("one")
    cluster.start_worker("two")
    for number in range(60):
        cluster.submit.delay(number)
    cluster.until(lambda: (len(cluster.ran()), cluster.unacked()) == (1, 59))
    reply = cluster.app.control.rate_limit(SUBMIT, "300/s", destination=["one@test"], reply=True, timeout=REPLY_S)
    assert reply == [{"one@test": {"ok": "new rate limit set successfully"}}]
    assert cluster.client.get("limit:ttapi") == b"300/s"
    cluster.until(lambda: len(cluster.ran()) == 60)
    assert cluster.numbers() == list(range(60))
    assert len({pid for *_, pid in cluster.ran()}) == 2


def test_a_limit_that_makes_no_sense_is_refused_and_the_row_keeps_the_old_one(cluster: Cluster) -> None:
    cluster.limit("6/m")
    cluster.start_worker("one")
    (reply,) = cluster.app.control.rate_limit(SUBMIT, "-5/s", destination=["one@test"], reply=True, timeout=REPLY_S)
    assert "'-5/s' is not a rate limit" in reply["one@test"]["error"]
    assert cluster.client.get("limit:ttapi") == b"6/m"


def test_revoked_submissions_take_no_token_and_the_prefetch_count_comes_back(cluster: Cluster) -> None:
    cluster.limit("1/h")
    cluster.start_worker("one")
    # More than `worker_eta_task_limit` lets the worker hold: what could not be raised must not be lowered either.
    ids = [cluster.submit.delay(number).id for number in range(60)]
    cluster.until(lambda: len(cluster.ran()) == 1 and cluster.prefetch_count("one") in {39, 40})
    cluster.app.control.revoke(ids[20:], destination=["one@test"], reply=True, timeout=REPLY_S)
    cluster.limit("200/s")
    cluster.until(lambda: (len(cluster.ran()), cluster.client.llen("submit"), cluster.unacked()) == (20, 0, 0))
    assert cluster.numbers() == list(range(20))
    cluster.until(lambda: cluster.prefetch_count("one") == CONCURRENCY)


def test_a_lost_connection_runs_no_held_submission_twice_and_loses_none(cluster: Cluster) -> None:
    cluster.limit("1/h")
    cluster.start_worker("one")
    for number in range(30):
        cluster.submit.delay(number)
    cluster.until(lambda: (len(cluster.ran()), cluster.unacked()) == (1, 29))
    cluster.other.delay(-1)  # runs on through the loss
    cluster.until(lambda: cluster.unacked() == 30)
    for kind in ("normal", "pubsub"):
        cluster.client.client_kill_filter(_type=kind)
    cluster.forget_connections()
    cluster.until(lambda: "Connection to broker lost" in (cluster.folder / "one.log").read_text())
    cluster.until(lambda: bool(cluster.app.control.ping(["one@test"], timeout=0.5)))
    cluster.until(lambda: cluster.unacked() >= 29)  # held again
    cluster.client.set("go on", 1)
    cluster.until(lambda: len(cluster.ran(OTHER)) == 2)  # acknowledged late: given out again
    cluster.limit("50/s")
    cluster.submit.delay(30)  # the last in line: whatever was held twice has run twice before it
    cluster.until(lambda: 30 in cluster.numbers() and cluster.unacked() == 0)
    assert cluster.numbers() == list(range(31))
    cluster.until(lambda: cluster.prefetch_count("one") == CONCURRENCY)
    assert cluster.workers["one"].poll() is None


def test_a_retried_submission_comes_back_through_the_bucket_with_a_new_token(cluster: Cluster) -> None:
    cluster.limit("5/s")
    cluster.start_worker("one")
    for number in range(-3, 0):
        cluster.submit.delay(number)
    cluster.until(lambda: len(cluster.ran()) == 6)
    period = period_us("5/s")
    assert period
    taken = sorted(taken for _, _, taken, _ in cluster.ran())
    # A token is taken within the call that begins at its stamp, hence the small allowance for the two stamps' calls.
    assert all(later - earlier > 0.5 * period / 1_000_000 for earlier, later in pairwise(taken))
    cluster.until(lambda: cluster.prefetch_count("one") == CONCURRENCY)
