"""Every named moment of a preparation kills a worker once: each generation gets its prompt, and words are paid once."""

from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import text

from pipeline.intake.commit import commit
from pipeline.intake.plan import prepare
from pipeline.intake.single import Single, order_of
from pipeline.process.fault_points import PREPARING_POINTS
from pipeline.resources import Resources
from pipeline.views.audit import of_books
from runtime.resources import open_producer
from runtime.settings import Settings
from sandbox.drawing.picture import draw
from tests.crash.conftest import crew_of
from tests.crash.invariants import waiting
from tests.support.commands import bill, wait_for

_PICTURES = 8


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_worker_dies_at_every_point_of_a_preparation_and_words_are_paid_once(
    settings: Settings, tmp_path: Path
) -> None:
    # A death puts in doubt what its worker has sent; few threads leave pictures for every point.
    settings = settings.model_copy(update={"deaths_alone": len(PREPARING_POINTS), "io_threads": 2})
    with open_producer(settings, application="likeness crash test") as resources:
        for number in range(_PICTURES):
            photo = tmp_path / f"photo{number}.png"
            draw("a fox on a beach", references=[], weight=0, seed=number, variation=0, size=(96, 96)).save(photo)
            single = Single(image=photo, enhance="llm", provider="sandbox", name=f"picture {number}")
            order, _ = order_of(resources, single, user_id="local")
            commit(resources, prepare(resources, order))
        with crew_of(settings, LIKENESS_DIE_AT=",".join(PREPARING_POINTS)):
            wait_for(
                lambda: waiting(resources.database) == 0,
                what="every generation to be final",
                timeout_s=400,
            )
            # A generation does not wait for the books: its call is in doubt once the lease of the dead has run out.
            wait_for(lambda: _asking(resources) == 0, what="every call for words to be settled or in doubt")
        died = {path.name for path in (settings.home / "deaths").iterdir()}
        assert died == set(PREPARING_POINTS), "every point was reached and killed somebody"
        with resources.database.transaction() as connection:
            states = connection.execute(text("SELECT DISTINCT state FROM generations")).scalars().all()
            paid = connection.execute(
                text(
                    "SELECT coalesce(sum(charged_usd), 0) AS charged, count(DISTINCT generation_id) AS generations,"
                    " coalesce(sum(hold_usd) FILTER (WHERE hold_state = 'in_doubt'), 0) AS in_doubt"
                    " FROM attempts WHERE kind = 'text'"
                )
            ).one()
        assert states == ["completed"]
        assert of_books(resources) == []
        calls = [job for job in bill(str(settings.sandbox_base_url))["jobs"] if job["kind"] == "chat"]
        assert len(calls) <= paid.generations == _PICTURES, "nobody was asked twice"
        billed = sum((Decimal(str(job["charged_usd"])) for job in calls), Decimal(0))
        assert paid.charged <= billed <= paid.charged + paid.in_doubt


def _asking(resources: Resources) -> int:
    with resources.database.transaction() as connection:
        return connection.execute(
            text("SELECT count(*) FROM attempts WHERE kind = 'text' AND state = 'submitting'")
        ).scalar_one()
