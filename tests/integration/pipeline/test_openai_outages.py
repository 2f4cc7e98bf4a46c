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
from tests.support.openai_runner import LOW, OpenAiRunner
from tests.support.outages import Flaky, Loses


@pytest.fixture
def runner(openai_runner: OpenAiRunner) -> OpenAiRunner:
    return openai_runner


def _unreadable(runner: OpenAiRunner, monkeypatch: pytest.MonkeyPatch, *attempts: AttemptId) -> None:
    """The store of these, as a folder that is not mounted any more answers."""
    get_reply = FolderStore.get_reply

    def away(self: FolderStore, attempt_id: AttemptId) -> bytes:
        if attempt_id in attempts:
            raise OSError(5, "Input/output error")
        return get_reply(self, attempt_id)

    monkeypatch.setattr(FolderStore, "get_reply", away)


def _paid_and_in_doubt(runner: OpenAiRunner) -> AttemptId:
    """The reply is in the store, and its worker died before the books knew."""
    attempt_id = runner.attempt()
    runner.submit(attempt_id, dying_at="submit.kept")
    rescue.take_over(runner.resources)
    assert runner.books.attempt(attempt_id).state == "in_doubt"
    return attempt_id


def _paid_again(runner: OpenAiRunner) -> int:
    """How many calls are billed once everything that is published was submitted."""
    for attempt_id in runner.sent.take("submit"):
        runner.submit(attempt_id)
    return len(runner.bill())


def test_nobody_is_believed_about_a_loss_while_the_store_cannot_be_read(
    runner: OpenAiRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt_id = _paid_and_in_doubt(runner)
    with monkeypatch.context() as broken:
        _unreadable(runner, broken, attempt_id)
        with pytest.raises(StoreAway, match="cannot say") as caught:
            by_person.settle_as_lost(runner.resources, attempt_id)
        assert caught.value.exit_code == 3
        with pytest.raises(StoreAway):
            by_person.settle_as_paid(runner.resources, attempt_id, job_id="req")
    assert runner.books.attempt(attempt_id).state == "in_doubt"
    assert _paid_again(runner) == 1
    assert by_person.settle_as_lost(runner.resources, attempt_id) is Settled.REPLY_ADOPTED


def test_a_damaged_note_still_proves_that_the_reply_came(runner: OpenAiRunner) -> None:
    attempt_id = _paid_and_in_doubt(runner)
    runner.resources.store.put_reply(attempt_id, b'{"keys": ')
    with pytest.raises(PictureLost, match="is damaged"):
        by_person.settle_as_lost(runner.resources, attempt_id)
    assert _paid_again(runner) == 1
    assert by_person.settle_as_paid(runner.resources, attempt_id, job_id="req", amount_usd=LOW) is Settled.CHARGED


def test_one_reply_that_cannot_be_read_keeps_no_other_from_going_on(
    runner: OpenAiRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    away, damaged, fine = sorted(runner.attempts("one", "two", "three"))
    for attempt_id in (away, damaged, fine):
        runner.submit(attempt_id, dying_at="submit.kept")
    runner.resources.store.put_reply(damaged, b"[]")
    _unreadable(runner, monkeypatch, away)
    assert by_person.settle(runner.resources, "openai") == 1
    assert runner.books.attempt(fine).state == "collecting"
    assert {runner.books.attempt(one).state for one in (away, damaged)} == {"submitting"}


def test_an_absurd_charge_in_a_stored_reply_counts_as_not_said(runner: OpenAiRunner) -> None:
    absurd, other = runner.attempts("one", "two")
    for attempt_id in (absurd, other):
        runner.submit(attempt_id, dying_at="submit.kept")
    note = json.loads(runner.resources.store.get_reply(absurd)) | {"charged_usd": "1e12"}
    runner.resources.store.put_reply(absurd, json.dumps(note).encode())
    assert by_person.settle(runner.resources, "openai") == 2
    row = runner.books.attempt(absurd)
    assert (row.state, row.charged_usd) == ("collecting", row.price_usd)
    assert runner.books.attempt(other).charged_usd in runner.bill()


@pytest.mark.parametrize("loses", list(Loses))
def test_a_claim_whose_commit_nobody_knows_of_leaves_no_doubt_for_a_person(runner: OpenAiRunner, loses: Loses) -> None:
    attempt_id = runner.attempt()
    flaky = Flaky(runner.resources.database, at=2, loses=loses)
    assert submit.submit(replace(runner.resources, database=flaky), attempt_id) is None
    assert runner.books.attempt(attempt_id).state in {"finished", "admitted"}
    assert runner.bill() == []
    rescue.take_over(runner.resources)
    assert runner.money(attempt_id)[1] == 0


@pytest.mark.parametrize("loses", list(Loses))
@pytest.mark.parametrize("fault", ["throttled:plain", "throttled:quota", "status:400"])
def test_a_certain_refusal_is_written_down_though_postgres_restarts(
    runner: OpenAiRunner, fault: str, loses: Loses
) -> None:
    attempt_id = runner.attempt()
    runner.arm(fault)
    flaky = Flaky(runner.resources.database, at=3, loses=loses)
    submit.submit(replace(runner.resources, database=flaky), attempt_id)
    assert runner.books.attempt(attempt_id).state == "finished"
    assert runner.money(attempt_id) == (0, 0, 0)
    assert runner.bill() == []


def test_a_late_reply_that_could_not_be_looked_for_is_looked_for_as_soon_again(
    runner: OpenAiRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt_id = runner.doubted("drop_before")
    by_person.settle_as_lost(runner.resources, attempt_id)
    due = runner.books.attempt(attempt_id).late_look_at
    with monkeypatch.context() as broken:
        _unreadable(runner, broken, attempt_id)
        by_person.settle(runner.resources, "openai")
        assert runner.books.attempt(attempt_id).late_look_at == due
    by_person.settle(runner.resources, "openai")
    assert runner.books.attempt(attempt_id).late_look_at > due
