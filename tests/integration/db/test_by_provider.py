"""A batch provider by provider: what became of it, what it cost, and what can still move by itself."""

from decimal import Decimal

from db.books.by_provider import by_provider
from db.moves import submission
from db.records.batches import NewBatch, open_batch
from domain.errors import ContentRefused, MaybeSent
from pipeline.views.by_provider import count_active
from tests.support.books import HOLD, USER, Books, add_lines, line


def test_each_provider_s_part_stands_by_itself(books: Books) -> None:
    for provider in ("openai", "ttapi"):
        books.lane(provider, provider=provider)
    with books.database.transaction() as connection:
        batch_id, _ = open_batch(connection, NewBatch(name="mixed", user_id=USER))
        providers = ["openai", "openai", "ttapi", "ttapi"]
        add_lines(connection, batch_id, [line(at, provider=provider) for at, provider in enumerate(providers)])
    doubtful, waiting = books.admit("openai")
    made, refused = books.admit("ttapi")
    with books.database.transaction() as connection:
        submission.refuse(connection, refused.attempt_id, token=None, failure=ContentRefused("not this one"))
    token = books.claim(doubtful.attempt_id)
    with books.database.transaction() as connection:
        submission.doubt(connection, doubtful.attempt_id, token=token, failure=MaybeSent("the reply is lost"))
    books.accept(made.attempt_id, books.claim(made.attempt_id), job_id="job-1")
    with books.database.transaction() as connection:
        openai, ttapi = by_provider(connection, batch_id)
    assert (openai.provider, openai.counts, openai.failures) == ("openai", {"in_doubt": 1, "admitted": 1}, {})
    assert (openai.held_usd, openai.in_doubt_usd, openai.charged_usd) == (HOLD, HOLD, Decimal(0))
    assert (openai.in_doubt, openai.unfinished, count_active(openai)) == (1, 2, 1), "its doubt waits for a person"
    assert (ttapi.counts, ttapi.failures) == ({"generating": 1, "failed": 1}, {"content_refused": 1})
    assert (ttapi.jobs, ttapi.unfinished, count_active(ttapi), ttapi.called_back) == (1, 1, 1, 0)
    assert waiting.attempt_id != doubtful.attempt_id
