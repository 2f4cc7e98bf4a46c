"""`pause`, `resume`, `cancel`, `retry`: what a person decides is in the books when the command ends."""

from pathlib import Path
from uuid import UUID, uuid4

import pytest
from PIL import Image

from db.moves import doubts, submission, validation
from domain.errors import ContentRefused, MaybeSent, ScorerError
from domain.ids import BatchId, CharacterId
from tests.support.books import USER, Books
from tests.support.command_line import CommandLine
from tests.support.finished import collect, judge, picture


def _refused(books: Books, batch: BatchId, prompts: int) -> None:
    """The first generations of the batch fail, for their content."""
    for one in books.admit(places={"sandbox": prompts}):
        token = books.claim(one.attempt_id)
        with books.database.transaction() as connection:
            submission.refuse(connection, one.attempt_id, token=token, failure=ContentRefused("not that prompt"))
    assert books.counts(batch)["failed"] == prompts


def test_a_paused_batch_starts_nothing_until_it_is_resumed(likeness: CommandLine, books: Books) -> None:
    books.lane()
    batch = books.batch(3, name="farm")
    said = likeness.document("pause", "farm", "--reason", "the colours are wrong")
    assert said["paused"] == "the colours are wrong"
    assert books.admit() == []
    assert "paused: the colours are wrong; `likeness resume farm` goes on" in likeness("status").out
    said = likeness.document("resume", "farm")
    assert said["paused"] is None
    assert books.counts(batch) == {"admitted": 3}, "resuming admits in the same call"


def test_a_pause_tells_what_was_sent_from_what_was_only_admitted(likeness: CommandLine, books: Books) -> None:
    books.lane()
    books.batch(4, name="farm")
    first, _, _ = books.admit(places={"sandbox": 3})
    books.accept(first.attempt_id, books.claim(first.attempt_id))
    told = likeness("pause", "farm").err
    assert "1 attempts run to their end; 2 that were not sent yet go back to the queue" in told.replace("\n", " ")


def test_a_stopped_batch_goes_on_with_a_larger_budget(likeness: CommandLine, books: Books) -> None:
    books.lane()
    batch = books.batch(3, name="farm", limit="0.40")
    assert len(books.admit()) == 1
    assert "leaves nothing" in likeness.refused("resume", "farm", "--max-cost", "0.40")
    assert "must be above 0" in likeness.refused("resume", "farm", "--max-cost", "-1")
    said = likeness.document("resume", "farm", "--max-cost", "0.80")
    assert (said["limit_usd"], said["held_usd"], said["stopped"]) == ("0.80", "0.80", None)
    assert books.counts(batch) == {"admitted": 2, "queued": 1}


def test_a_canceled_batch_keeps_what_is_at_the_provider_to_its_end(likeness: CommandLine, books: Books) -> None:
    books.lane()
    batch = books.batch(4, name="farm")
    first, _ = books.admit(places={"sandbox": 2})
    books.accept(first.attempt_id, books.claim(first.attempt_id))
    said = likeness.document("cancel", "farm")
    assert (said["asked"], said["running"], said["held_usd"]) == (4, 1, "0.40")
    assert books.counts(batch) == {"canceled": 3, "generating": 1}
    books.make(first.attempt_id, books.polled(first.attempt_id))
    books.collect(first.attempt_id, books.claim_collection(first.attempt_id))
    assert books.counts(batch) == {"canceled": 4}
    assert likeness.document("cancel", "farm")["asked"] == 0
    assert likeness.document("status", "farm")["charged_usd"] == "0.02", "what was made is paid"


def test_failed_generations_are_queued_again_and_the_others_left_alone(
    likeness: CommandLine, books: Books, home: Path
) -> None:
    books.lane()
    batch = books.batch(3, name="farm")
    _refused(books, batch, 2)
    (last,) = books.admit()
    collect(books, last.attempt_id, picture(home, "pink"))
    said = likeness.document("retry", "farm")
    assert (said["retried"], said["accepted"]) == (2, 1)
    assert books.counts(batch) == {"admitted": 2, "completed": 1}, "retrying admits in the same call"
    assert likeness.document("retry", "farm")["retried"] == 0


def test_a_retry_can_be_for_one_reason_or_for_other_states(likeness: CommandLine, books: Books) -> None:
    books.lane()
    batch = books.batch(3, name="farm")
    _refused(books, batch, 1)
    assert "there are content_refused (1)" in likeness.refused("retry", "farm", "--reason", "picture_lost")
    assert likeness.document("retry", "farm", "--reason", "content_refused")["retried"] == 1
    assert likeness.document("cancel", "farm")["asked"] == 3
    said = likeness.document("retry", "farm", "--state", "canceled", "--state", "rejected")
    assert said["retried"] == 3
    assert books.counts(batch) == {"admitted": 3}


def test_a_retry_says_how_many_stored_pictures_are_only_checked_again(likeness: CommandLine, books: Books) -> None:
    attempt_id, _ = books.validating(name="farm")
    token = books.claim_validation(attempt_id)
    with books.database.transaction() as connection:
        validation.unfit(connection, attempt_id, token=token, failure=ScorerError("no reference can be used"))
    assert "0 generations are queued again; of 1 the stored pictures are checked again" in likeness("retry", "farm").err
    assert books.generation_of(attempt_id).state == "validating"
    said = likeness.document("retry", "farm", "--new-pictures")
    assert (said["retried"], said["checked_again"], said["counts"]["validating"]) == (0, 0, 1)


def test_what_was_settled_as_lost_and_turns_up_is_shown_with_its_history(likeness: CommandLine, books: Books) -> None:
    attempt_id, token = books.submitting(name="farm")
    with books.database.transaction() as connection:
        submission.doubt(connection, attempt_id, token=token, failure=MaybeSent("the reply is lost"))
    assert len(likeness.document("doubts")["doubts"]) == 1
    likeness("doubts", "settle", str(attempt_id), "--lost")
    assert "--unchecked" in likeness.refused("doubts", "settle", str(attempt_id), "--paid", "job-7")
    likeness("doubts", "settle", str(attempt_id), "--paid", "job-7", "--unchecked")
    said = likeness.document("doubts")
    (found,) = said["found_late"]
    assert said["doubts"] == []
    assert (found["attempt_id"], found["job_id"], found["charged_usd"]) == (str(attempt_id), "job-7", None)
    assert "found late" in likeness("doubts").out
    moves = [
        (one["actor"], one["from_state"], one["to_state"]) for one in likeness.document("show", "farm/0")["history"]
    ]
    assert moves[0] == ("a person", "in_doubt", "queued")
    assert moves[1][0] == "a person"
    assert "job job-7 turned up" in " ".join(likeness("show", "farm/0").out.split())


def test_a_doubt_says_why_the_list_has_not_settled_it(likeness: CommandLine, books: Books) -> None:
    attempt_id, token = books.submitting(name="farm")
    with books.database.transaction() as connection:
        submission.doubt(connection, attempt_id, token=token, failure=MaybeSent("the reply is lost"))
    assert likeness.document("doubts")["doubts"][0]["unsettled_because"] is None
    with books.database.transaction() as connection:
        doubts.saw_something(connection, attempt_id, why="the list lacks job-7")
    assert likeness.document("doubts")["doubts"][0]["unsettled_because"] == "the list lacks job-7"
    shown = likeness("doubts")
    assert f"{attempt_id}: the list lacks job-7" in " ".join((shown.out + shown.err).split())


@pytest.mark.parametrize("columns", ["40", "80", "200"])
def test_a_doubt_shows_the_whole_id_that_settling_it_needs(
    likeness: CommandLine, books: Books, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    attempt_id, token = books.submitting(name="farm")
    with books.database.transaction() as connection:
        submission.doubt(connection, attempt_id, token=token, failure=MaybeSent("the reply is lost"))
    books.sql(f"UPDATE attempts SET sent_prompt = 'a pig --cref http://127.0.0.1/{'4c8b' * 60}.png'")
    shown = likeness("doubts").out
    assert str(attempt_id) in shown
    if columns != "40":
        (line,) = [line for line in shown.splitlines() if str(attempt_id) in line]
        assert line.split()[1:3] == ["sandbox", "$0.40"]
        assert len(line) <= int(columns)
    likeness("doubts", "settle", str(attempt_id), "--lost")
    likeness("doubts", "settle", str(attempt_id), "--paid", "job-7", "--unchecked")
    late = likeness("doubts").out
    assert str(attempt_id) in late
    assert "job-7" in late


def test_an_unchecked_loss_makes_no_sense(likeness: CommandLine) -> None:
    said = likeness.refused("doubts", "settle", str(uuid4()), "--lost", "--unchecked")
    assert "--unchecked is for --paid" in said


def test_an_audit_that_cannot_reach_a_service_says_so_and_one_offline_asks_nobody(
    likeness: CommandLine, books: Books
) -> None:
    books.generating()
    assert likeness.document("audit", "--offline") == {"differences": [], "lanes": []}
    assert "the books add up: batches, ledger, attempts and states tell one story" in likeness("audit", "--offline").out
    (lane,) = likeness.document("audit", code=3)["lanes"]
    assert lane["unreachable"] is not None
    assert "was not compared" in likeness("audit").err
    books.sql("UPDATE batches SET charged_usd = charged_usd + 1")
    assert likeness("audit", "--offline").code == 1
    books.sql("UPDATE batches SET charged_usd = charged_usd - 1")


def test_a_running_batch_gets_another_budget_and_saying_so_twice_changes_nothing(
    likeness: CommandLine, books: Books
) -> None:
    books.lane()
    batch = books.batch(3, name="farm", limit="0.40")
    assert len(books.admit()) == 1
    for was in ("0.40", "0.80"):
        said = likeness.document("budget", "farm", "0.80")
        assert (said["was_usd"], said["limit_usd"], said["held_usd"]) == (was, "0.80", "0.80")
    assert books.counts(batch) == {"admitted": 2, "queued": 1}
    told = likeness("budget", "farm", "0.10").err
    assert "has 0.10 USD, 0.00 left (before: 0.80 USD)" in told
    assert books.counts(batch) == {"admitted": 2, "queued": 1}, "nothing is taken back"
    assert likeness.document("budget", "farm", "none")["limit_usd"] is None
    assert books.counts(batch) == {"admitted": 3}
    assert "which is no amount of dollars" in likeness.refused("budget", "farm", "much")


def test_a_running_batch_gets_another_share_of_the_lanes(likeness: CommandLine, books: Books) -> None:
    batch = books.batch(1, name="farm")
    for was in (1, 5):
        said = likeness.document("priority", "farm", "5")
        assert (said["was"], said["priority"], books.row(batch).priority) == (was, 5, 5)
    assert "(as before)" in likeness("priority", "farm", "5").err
    assert "greater than or equal to 1" in likeness.document("priority", "farm", "0", code=2)["error"]["message"]


def test_who_did_what_is_told_of_a_batch_and_outside_of_batches(
    likeness: CommandLine, books: Books, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REPLICATE_API_TOKEN", "r8_test")
    assert likeness("acts").out == "nothing was done yet\n"
    Image.new("RGB", (16, 16), "pink").save(home / "lulu.png")
    lulu = CharacterId(UUID(likeness.document("character", "add", "lulu", home / "lulu.png")["id"]))
    books.lane()
    books.batch(1, name="farm", character=lulu)
    (one,) = books.admit()
    collect(books, one.attempt_id, picture(home, "pink"))
    judge(books, one.attempt_id, lulu, 0.9)
    likeness.document("finish", "farm", "--upscale", "--dry-run")
    assert likeness.document("finish", "farm", "--upscale")["asked"] == 1
    likeness("lanes", "close", "replicate", "--reason", "lunch")
    (act,) = likeness.document("acts", "farm")["acts"]
    assert (act["act"], act["actor"], act["key"]) == ("finished", USER, None), "and the dry run did nothing"
    assert act["detail"] == {"steps": ["upscale"], "asked": 1, "model": None}
    told = likeness("acts").out
    assert "lane closed, lane replicate, reason lunch" in " ".join(told.split())
    assert likeness.document("acts", "--limit", "1")["acts"][0]["act"] == "lane closed"
