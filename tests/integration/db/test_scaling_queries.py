"""What KEDA asks Postgres: 0 and never null over empty tables, and the right number with work."""

import pytest
from sqlalchemy import text

from domain.states import AttemptState
from providers.registry import SERVICES, is_synchronous
from tests.support import helm
from tests.support.books import Books

ROLES = ("io", "io-sync", "gpu")


def asked(books: Books, role: str) -> object:
    with books.database.transaction() as connection:
        return connection.execute(text(helm.scaling_query(role))).scalar_one()


@pytest.mark.parametrize("role", ROLES)
def test_nothing_to_do_is_zero(books: Books, role: str) -> None:
    assert asked(books, role) == 0
    books.lane()
    books.batch(3)
    assert asked(books, role) == 0, "what waits for admission is no work of a worker yet"


def test_work_counts_where_it_is_done(books: Books) -> None:
    books.validating()
    books.collecting()
    books.submitting()
    books.admitted()
    books.generating()
    assert (asked(books, "io"), asked(books, "io-sync"), asked(books, "gpu")) == (4, 0, 1)
    books.sql("UPDATE attempts SET due_at = now() + interval '1 minute' WHERE state = 'generating'")
    assert asked(books, "io") == 3, "a job that nobody looks at now is no work"
    books.sql("UPDATE lanes SET provider = 'openai'")
    assert (asked(books, "io"), asked(books, "io-sync"), asked(books, "gpu")) == (0, 2, 1)


def test_preparing_is_work_where_its_next_stage_runs(books: Books) -> None:
    books.batch(3)
    books.sql("UPDATE generations SET state = 'preparing'")
    books.sql(
        "INSERT INTO preparations (generation_id, place, published_at)"
        " SELECT id, (ARRAY['any', 'io', 'gpu'])[position + 1], now() FROM generations"
    )
    assert (asked(books, "io"), asked(books, "io-sync"), asked(books, "gpu")) == (2, 0, 1)
    books.sql("UPDATE preparations SET published_at = now() + interval '1 minute'")
    assert (asked(books, "io"), asked(books, "gpu")) == (0, 0), "what is tried again later is no work now"
    books.sql("UPDATE preparations SET lease_token = gen_random_uuid(), lease_until = now() + interval '1 minute'")
    assert (asked(books, "io"), asked(books, "gpu")) == (2, 1), "and what somebody is at is"


def test_the_queries_know_which_services_answer_with_the_picture() -> None:
    synchronous = {name for name in SERVICES if is_synchronous(name)}
    assert synchronous == {"openai"}
    assert all(f"'{name}'" in helm.scaling_query(role) for name in synchronous for role in ("io", "io-sync"))
    assert AttemptState.VALIDATING in helm.scaling_query("gpu")
