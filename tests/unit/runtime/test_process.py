"""How a process of ours ends when it cannot start, which its parent reads."""

import os

import pytest

from db.session import Database, DatabaseAway
from domain.errors import LikenessError, ModelUnloadable, ServiceMissing
from runtime.process import main_of


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (ModelUnloadable("no weights"), 3),
        (ServiceMissing("no key"), 3),
        (DatabaseAway("Postgres restarts"), os.EX_TEMPFAIL),
    ],
    ids=["weights", "key", "postgres"],
)
def test_only_what_will_not_pass_ends_with_a_final_word(failure: LikenessError, status: int) -> None:
    def role() -> None:
        raise failure

    with pytest.raises(SystemExit) as ended:
        main_of(role)
    assert ended.value.code == status


def test_a_postgres_that_cannot_be_reached_may_be_back_later() -> None:
    database = Database("postgresql+psycopg://nobody@127.0.0.1:1/none", application="test", pool_size=1)
    with pytest.raises(DatabaseAway, match="is not reachable"):
        database.check()
    database.close()
