"""OpenAI while the store or Postgres is away: what is not known proves nothing, and what is certain is written down."""

import json
from dataclasses import replace

import pytest

from domain.errors import PictureLost
from domain.ids import AttemptId
from pipeline.attempts import rescue, submit
from pipeline.doubts import by_person
from pipeline.doubts.by_person import Settled
from storage.base import StoreAway
from storage.folder import FolderStore
from tests.support.openai_desk import LOW, Desk
from tests.support.outages import Flaky, Loses


@pytest.fixture
def desk(openai_desk: Desk) -> Desk:
    return openai_desk


def _unreadable(desk: Desk, monkeypatch: pytest.MonkeyPatch, *attempts: AttemptId) -> None:
    """The store of these, as a folder that is not mounted any more answers."""
    get_reply = FolderStore.get_reply

    def away(self: FolderStore, attempt_id: AttemptId) -> bytes:
        if attempt_id in attempts:
            raise OSError(5, "Input/output error")
        return get_reply(self, attempt_id)

    monkeypatch.setattr(FolderStore, "get_reply", away)


def _paid_and_in_doubt(desk: Desk) -> AttemptId:
    """The reply is in the store, and its worker died before the books knew."""
    attempt_id = desk.attempt()
    desk.submit(attempt_id, dying_at="submit.kept")
    rescue.take_over(desk.resources)
    assert desk.books.attempt(attempt_id).state == "in_doubt"
    return attempt_id


def _paid_again(desk: Desk) -> int:
    """How many calls are billed once everything that is published was submitted."""
    for attempt_id in desk.sent.take("submit"):
        desk.submit(attempt_id)
    return len(desk.bill())


def test_nobody_is_believed_about_a_loss_while_the_store_cannot_be_read(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt_id = _paid_and_in_doubt(desk)
    with monkeypatch.context() as broken:
        _unreadable(desk, broken, attempt_id)
        with pytest.raises(StoreAway, match="cannot say") as caught:
            by_person.settle_as_lost(desk.resources, attempt_id)
        assert caught.value.exit_code == 3
        with pytest.raises(StoreAway):
            by_person.settle_as_paid(desk.resources, attempt_id, job_id="req")
    assert desk.books.attempt(attempt_id).state == "in_doubt"
    assert _paid_again(desk) == 1
    assert by_person.settle_as_lost(desk.resources, attempt_id) is Settled.REPLY_ADOPTED


def test_a_damaged_note_still_proves_that_the_reply_came(desk: Desk) -> None:
    attempt_id = _paid_and_in_doubt(desk)
    desk.resources.store.put_reply(attempt_id, b'{"keys": ')
    with pytest.raises(PictureLost, match="is damaged"):
        by_person.settle_as_lost(desk.resources, attempt_id)
    assert _paid_again(desk) == 1
    assert by_person.settle_as_paid(desk.resources, attempt_id, job_id="req", amount_usd=LOW) is Settled.CHARGED


def test_one_reply_that_cannot_be_read_keeps_no_other_from_going_on(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    away, damaged, fine = sorted(desk.attempts("one", "two", "three"))
    for attempt_id in (away, damaged, fine):
        desk.submit(attempt_id, dying_at="submit.kept")
    desk.resources.store.put_reply(damaged, b"[]")
    _unreadable(desk, monkeypatch, away)
    assert by_person.settle(desk.resources, "openai") == 1
    assert desk.books.attempt(fine).state == "collecting"
    assert {desk.books.attempt(one).state for one in (away, damaged)} == {"submitting"}


def test_an_absurd_charge_in_a_stored_reply_counts_as_not_said(desk: Desk) -> None:
    absurd, other = desk.attempts("one", "two")
    for attempt_id in (absurd, other):
        desk.submit(attempt_id, dying_at="submit.kept")
    note = json.loads(desk.resources.store.get_reply(absurd)) | {"charged_usd": "1e12"}
    desk.resources.store.put_reply(absurd, json.dumps(note).encode())
    assert by_person.settle(desk.resources, "openai") == 2
    row = desk.books.attempt(absurd)
    assert (row.state, row.charged_usd) == ("collecting", row.price_usd)
    assert desk.books.attempt(other).charged_usd in desk.bill()


@pytest.mark.parametrize("loses", list(Loses))
def test_a_claim_whose_commit_nobody_knows_of_leaves_no_doubt_for_a_person(desk: Desk, loses: Loses) -> None:
    attempt_id = desk.attempt()
    flaky = Flaky(desk.resources.database, at=2, loses=loses)
    assert submit.submit(replace(desk.resources, database=flaky), attempt_id) is None
    assert desk.books.attempt(attempt_id).state in {"finished", "admitted"}
    assert desk.bill() == []
    rescue.take_over(desk.resources)
    assert desk.money(attempt_id)[1] == 0


@pytest.mark.parametrize("loses", list(Loses))
@pytest.mark.parametrize("fault", ["throttled:plain", "throttled:quota", "status:400"])
def test_a_certain_refusal_is_written_down_though_postgres_restarts(desk: Desk, fault: str, loses: Loses) -> None:
    attempt_id = desk.attempt()
    desk.arm(fault)
    flaky = Flaky(desk.resources.database, at=3, loses=loses)
    submit.submit(replace(desk.resources, database=flaky), attempt_id)
    assert desk.books.attempt(attempt_id).state == "finished"
    assert desk.money(attempt_id) == (0, 0, 0)
    assert desk.bill() == []


def test_a_late_reply_that_could_not_be_looked_for_is_looked_for_as_soon_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt_id = desk.doubted("drop_before")
    by_person.settle_as_lost(desk.resources, attempt_id)
    due = desk.books.attempt(attempt_id).late_look_at
    with monkeypatch.context() as broken:
        _unreadable(desk, broken, attempt_id)
        by_person.settle(desk.resources, "openai")
        assert desk.books.attempt(attempt_id).late_look_at == due
    by_person.settle(desk.resources, "openai")
    assert desk.books.attempt(attempt_id).late_look_at > due
