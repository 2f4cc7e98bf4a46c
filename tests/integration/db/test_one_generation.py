"""One generation in one statement is the same, to the types of its values, as read table by table."""

from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from db.reads import generations, one_generation
from db.reads.generations import Wanted
from db.records import acts, deletions
from domain.access import Actor
from domain.ids import BatchId, GenerationId
from tests.support.books import Books
from tests.support.finished import collect, judge, picture


def test_one_statement_tells_what_the_tables_tell(books: Books, home: Path) -> None:
    books.lane()
    character = books.character()
    batch_id = books.batch(2, name="farm", character=character)
    one, other = books.admit()
    collect(books, one.attempt_id, picture(home, "pink"), picture(home, "teal", 1))
    judge(books, one.attempt_id, character, 0.7, 0.9)
    books.sql(
        "INSERT INTO generation_feedback (generation_id, user_id, feedback_type, rating)"
        f" VALUES ('{one.generation_id}', 'ana', 'rating', 4)"
    )
    with books.database.transaction() as connection:
        for act in ("feedback", "deleted"):
            acts.note(
                connection,
                team="local",
                batch_id=BatchId(batch_id),
                generation_id=GenerationId(one.generation_id),
                by=Actor(name="ana"),
                act=act,
                detail={"rating": 4.5},
            )
    with books.database.transaction() as connection:
        for generation_id in (one.generation_id, other.generation_id):
            (whole,) = one_generation.find(connection, [generation_id])
            (by_tables,) = generations.all_details(connection, Wanted(generation_id=generation_id))
            assert whole.details() == by_tables
            assert _types(whole.details()) == _types(by_tables)
            assert (whole.id, whole.team, whole.deleted_at) == (generation_id, "local", None)
        deletions.ask(connection, one.generation_id, asked_by="ana")
        both = one_generation.find(connection, [one.generation_id, uuid4(), other.generation_id])
        assert {found.id: found.deleted_at is None for found in both} == {
            one.generation_id: False,
            other.generation_id: True,
        }


def test_a_line_reads_no_more_than_it_says(books: Books, home: Path) -> None:
    books.lane()
    character = books.character()
    books.batch(1, name="farm", character=character)
    (one,) = books.admit()
    collect(books, one.attempt_id, picture(home, "pink"))
    judge(books, one.attempt_id, character, 0.9)
    wanted = Wanted(generation_id=one.generation_id)
    with books.database.transaction() as connection:
        (everything,) = generations.all_details(connection, wanted)
        (some,) = generations.all_details(connection, wanted, told={"assets", "verdicts"})
        (none,) = generations.all_details(connection, wanted, told=())
    assert everything.attempts
    assert everything.verdicts
    assert some == replace(everything, attempts=[], history=[], feedback=[], acts=[], finishings=[])
    assert none == generations.GenerationDetails(generation=everything.generation)


def _types(details: generations.GenerationDetails) -> list[list[type]]:
    judged = [row for rows in details.verdicts.values() for row in rows]
    rows = [details.generation, *details.attempts, *details.assets, *judged, *details.feedback, *details.acts]
    assert details.attempts
    return [[type(value) for value in row.values()] for row in rows]
