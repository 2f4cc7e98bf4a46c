"""A generation's history: what somebody asked for, in order, with who and why."""

from db.records import history
from tests.support.books import Books


def test_a_history_is_told_in_order_and_only_of_the_generation_asked_for(books: Books) -> None:
    books.lane()
    books.batch(2)
    first, second = books.admit()
    with books.database.transaction() as connection:
        for admitted, reason in ((first, "again"), (second, "another's"), (first, "once more \x00")):
            history.note(
                connection,
                generation_id=admitted.generation_id,
                attempt_id=admitted.attempt_id,
                from_state="failed",
                to_state="queued",
                actor=history.PERSON,
                reason=reason,
                detail={"said": reason},
            )
        found = history.of(connection, first.generation_id)
    assert [row.reason for row in found] == ["again", "once more �"], "what Postgres cannot store is replaced"
    assert {(row.attempt_id, row.from_state, row.to_state, row.actor) for row in found} == {
        (first.attempt_id, "failed", "queued", "a person")
    }
    assert found[0].detail == {"said": "again"}
