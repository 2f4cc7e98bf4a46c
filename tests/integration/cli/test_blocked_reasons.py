"""What a stopped batch says about its money, and what it advises."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.batches.blocked_reasons import stopped
from cli.batches.watch import conclude
from cli.terminal import Terminal
from db.books import spending
from db.books.spending import Subject, lane_day, user_month
from domain.access import LOCAL_TEAM
from domain.ids import BatchId
from pipeline.process.leases import Leases
from pipeline.resources import Resources
from pipeline.views import status
from pipeline.views.status import BatchStatus
from storage.folder import FolderStore
from tests.conftest import Sent
from tests.support.books import HOLD, USER, Books


@pytest.fixture
def resources(books: Books, sent: Sent, home: Path) -> Iterator[Resources]:
    leases = Leases(books.database, seconds=30)
    yield Resources(
        database=books.database,
        lanes={},
        store=FolderStore(home / "pictures"),
        dispatch=sent,
        leases=leases,
        jitter=lambda: 0.0,
    )
    leases.close()


def _stopped(resources: Resources, books: Books, batch: BatchId) -> BatchStatus:
    assert books.admit() == []
    found = status.of_batch(resources, batch)
    assert found.batch.stopped_reason is not None
    return found


def test_a_budget_that_is_not_used_up_says_what_is_left_and_what_the_next_call_needs(
    resources: Resources, books: Books
) -> None:
    books.lane()
    batch = books.batch(3, name="farm", limit="0.39")
    assert stopped(_stopped(resources, books, batch)) == [
        "stopped: $0.39 of $0.39 are left, and the next call needs $0.40 set aside",
        "`likeness resume farm --max-cost USD` goes on; 3 generations wait",
    ]


@pytest.mark.parametrize(
    ("of", "said"),
    [
        (user_month(LOCAL_TEAM, USER), "budget of the user's month"),
        (lane_day("sandbox"), "budget of the lane's day"),
    ],
)
def test_a_limit_of_a_user_or_a_lane_is_not_answered_by_a_larger_budget(
    resources: Resources, books: Books, of: Subject, said: str
) -> None:
    books.lane()
    batch = books.batch(1, name="farm")
    with books.database.transaction() as connection:
        spending.put(connection, of, HOLD / 2)
    first, second = stopped(_stopped(resources, books, batch))
    assert first == f"stopped by the {said}: the next call needs $0.40 set aside"
    assert "`likeness limits`" in second
    assert "`likeness resume farm`" in second
    assert "--max-cost" not in first + second


@pytest.mark.parametrize("advise", [True, False])
def test_commands_are_named_only_where_they_find_the_batch(
    resources: Resources,
    books: Books,
    capsys: pytest.CaptureFixture[str],
    advise: bool,  # noqa: FBT001 -- pytest fills it in
) -> None:
    books.lane()
    batch = books.batch(1, name="farm", limit="0.39")
    conclude(resources, _stopped(resources, books, batch), Terminal(), report=None, more={}, advise=advise)
    assert ("`likeness" in capsys.readouterr().err) is advise
