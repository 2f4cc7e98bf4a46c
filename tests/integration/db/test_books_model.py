"""A model of the books: whatever workers, people, lost leases and late messages do in any order, they stay right.

Every rule is a lawful or an unlawful thing to do to a random attempt; after each one the invariants of every row are
checked, and whatever was written once is written again, late and under its old lease, and must change nothing.
"""

from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Connection

from db.moves import (
    by_person,
    collection,
    doubts,
    late_discovery,
    later_policy,
    polling,
    rescoring,
    submission,
    validation,
)
from db.moves.validation import NewVerdict
from db.records import batches
from db.records.closed_loop import Decision, NextTry
from db.schema import attempts
from db.session import Database
from domain.errors import ContentRefused, JobFailed, LostRace, MaybeSent, NotSent, PictureLost, QueueFull, ScorerError
from domain.ids import AttemptId, LeaseToken
from domain.states import LIVE, AttemptState, GenerationState
from domain.verdict import Origin, Scores, Thresholds, Verdict
from tests.support.books import HOLD, NOW, PRICE, Books, asset, lease
from tests.support.books_machine import LIMIT, BooksMachine, Write

CHARGES = st.sampled_from([Decimal(0), PRICE, HOLD, HOLD * 2])
ANSWERS = ["accept", "accept", "again", "back", "refuse", "doubt"]
LOOKS = ["made", "made", "running", "silent", "failed", "refused", "kept", "stopped"]
VERDICTS = ["judged", "judged", "further", "again", "unfit", "died"]
ORIGIN = Origin(model="m", revision="r", preprocessing="p", dtype="float32", references="d")
THRESHOLDS = Thresholds(version=1, core=0.75, style=0.6, origin="default")
NEVER = LeaseToken(lease().token)


class BooksModel(BooksMachine):
    """Whatever workers, people and the dead may do, in any order."""

    # Workers

    @rule()
    def admit(self) -> None:
        before = {row.id for row in self._attempts("admitted")}
        self.books.admit(self.lane)
        for row in self._attempts("admitted"):
            if row.id not in before:
                batch = self.books.row(row.batch_id)
                used = batch.charged_usd + batch.held_usd + batch.in_doubt_usd
                assert batch.limit_usd is None or used <= batch.limit_usd

    @rule(data=st.data())
    def claim_anything(self, data: st.DataObject) -> None:
        row = self._one(data, *AttemptState)
        if row is not None:
            held = lease()
            self._do(lambda c: submission.claim(c, row.id, lease=held, sent_prompt="x"), again=False)
            changed = self.books.attempt(row.id).lease_token == held.token
            assert not changed or row.state == "admitted"

    @rule(data=st.data())
    def work(self, data: st.DataObject) -> None:
        self._work_on(data)

    @rule(data=st.data(), steps=st.integers(2, 6))
    def work_a_while(self, data: st.DataObject, steps: int) -> None:
        for _ in range(steps):
            self._work_on(data)
            self.books.check()

    def _work_on(self, data: st.DataObject) -> None:
        """Take some live attempt one step on, or try to."""
        row = self._one(data, *sorted(LIVE))
        if row is None:
            return
        match row.state:
            case "admitted":
                more = data.draw(st.sampled_from([None, None, None, row.hold_usd + HOLD]))
                if more is not None:
                    self._hold_more(row, hold_usd=more)
                    return
                with suppress(LostRace):  # a person has canceled it
                    self.books.claim(row.id)
            case "submitting":
                self._answer(row, what=data.draw(st.sampled_from(ANSWERS)), known=data.draw(st.booleans()))
            case "in_doubt":
                self._settle(row, found=data.draw(st.booleans()))
            case "generating":
                self._look(data, charged=data.draw(CHARGES), what=data.draw(st.sampled_from(LOOKS)))
            case "collecting":
                self._collect(row, what=data.draw(st.sampled_from(["collected", "again", "lost", "died"])))
            case "validating":
                core = data.draw(st.sampled_from([0.1, 0.9]))
                self._validate(row, core=core, what=data.draw(st.sampled_from(VERDICTS)))

    def _hold_more(self, row: Any, *, hold_usd: Decimal) -> None:
        failure = NotSent("x")
        self._do(lambda c: submission.hold_more(c, row.id, failure=failure, hold_usd=hold_usd, price_usd=row.price_usd))

    def _answer(self, row: Any, *, what: str, known: bool) -> None:
        token = row.lease_token if known else NEVER
        writes: dict[str, Write] = {
            "accept": lambda c: submission.accepted(
                c, row.id, token=token, job_id=f"job {row.id}", first_look=NOW, deadline=NOW
            ),
            "again": lambda c: submission.again(c, row.id, token=token, failure=NotSent("x"), wait=NOW),
            "back": lambda c: submission.give_back(c, row.id, token=token, failure=QueueFull("x")),
            "refuse": lambda c: submission.refuse(c, row.id, token=token, failure=ContentRefused("x")),
            "doubt": lambda c: submission.doubt(c, row.id, token=token, failure=MaybeSent("x")),
        }
        self._do(writes[what])
        if not known:
            assert self.books.attempt(row.id) == row

    def _settle(self, row: Any, *, found: bool) -> None:
        if found:
            job = f"job {row.id}"
            self._do(lambda c: submission.adopt(c, row.id, job_id=job, first_look=NOW, deadline=NOW))
        else:
            self._do(lambda c: doubts.not_accepted(c, row.id, failure=doubts.NeverArrived("x")))

    def _look(self, data: st.DataObject, *, charged: Decimal, what: str) -> None:
        held = lease()
        with self.books.database.transaction() as connection:
            works = polling.claim_due(connection, self.lane, limit=2, lease=held)
        if not works:
            return
        work = data.draw(st.sampled_from(works))
        one, token = work.attempt_id, held.token
        kept = JobFailed("x", charged_usd=charged)
        writes: dict[str, Write] = {
            "made": lambda c: polling.made(c, one, token=token, result={}, charged_usd=charged, said_by="x"),
            "kept": lambda c: polling.gave_up(c, one, token=token, failure=kept, wait=None),
            "stopped": lambda c: _stopped(c, one, token),
            "running": lambda c: polling.looked(c, one, token=token, percent=50, next_look=NOW),
            "silent": lambda c: polling.silent(c, one, token=token, next_look=NOW),
            "failed": lambda c: polling.gave_up(c, one, token=token, failure=JobFailed("x"), wait=NOW),
            "refused": lambda c: polling.gave_up(c, one, token=token, failure=ContentRefused("x"), wait=None),
        }
        if what in {"made", "kept"}:
            self.excess += max(charged - work.hold_usd, Decimal(0))
        self._do(writes[what])

    def _collect(self, row: Any, *, what: str) -> None:
        held = lease()
        with self.books.database.transaction() as connection:
            claimed = collection.claim(connection, row.id, lease=held)
        assert (claimed is None) == (row.lease_token is not None)
        one, token = AttemptId(row.id), held.token
        pictures = [asset(0), asset(1, missing_reason="picture_lost: 404")]
        writes: dict[str, Write] = {
            "collected": lambda c: collection.collected(c, one, token=token, assets=pictures),
            "again": lambda c: collection.again(c, one, token=token, failure=PictureLost("x"), wait=NOW),
            "lost": lambda c: collection.lost(c, one, token=token, failure=PictureLost("x")),
            "died": lambda _: None,
        }
        self._do(writes[what])

    def _validate(self, row: Any, *, core: float, what: str) -> None:
        held = lease()
        with self.books.database.transaction() as connection:
            claimed = validation.claim(connection, row.id, lease=held)
            inputs = validation.inputs(connection, row.id)
        assert (claimed is None) == (row.lease_token is not None)
        one, token, character = AttemptId(row.id), held.token, self.character
        assert character is not None
        verdict = Verdict(scores=Scores(core=core, style=0.9), thresholds=THRESHOLDS)
        found = [NewVerdict(asset_id=each.asset_id, verdict=verdict, origin=ORIGIN) for each in inputs]
        best = found[0].asset_id
        writes: dict[str, Write] = {
            "judged": lambda c: validation.judged(c, one, token=token, character_id=character, found=found, best=best),
            "further": lambda c: validation.judged(
                c, one, token=token, character_id=character, found=found, best=best, further=self._further(row)
            ),
            "again": lambda c: validation.again(c, one, token=token, failure=ScorerError("x"), wait=NOW),
            "unfit": lambda c: validation.unfit(c, one, token=token, failure=ScorerError("x")),
            "died": lambda _: None,
        }
        self._do(writes[what])

    def _further(self, row: Any) -> Decision:
        """The try that the closed loop makes of a rejection, dearer than the one before."""
        following = NextTry(
            changes={"try": 2, "since": row.number, "settings": {"cref_weight": 50}},
            provider=self.lane,
            model="another",
            hold_usd=HOLD + PRICE,
            price_usd=2 * PRICE,
        )
        return Decision(reason="try 2", next_try=following)

    @rule(data=st.data(), stays=st.booleans())
    def take_up(self, data: st.DataObject, stays: bool) -> None:  # noqa: FBT001 -- drawn
        """A person lets rejected ones go on by a policy that came later, or is told that there is nothing left."""
        with self.books.database.transaction() as connection:
            rejected = later_policy.rejected_of(connection, self.batches[1])
        if rejected:
            one = data.draw(st.sampled_from(rejected))
            made = self.books.rows(attempts)
            last = max((row for row in made if row.generation_id == one), key=lambda row: row.number)
            decision = Decision(reason="nothing is left") if stays else self._further(last)
            with self.books.database.transaction() as connection:
                moved = later_policy.take_up(connection, one, decision)
            assert moved is not stays
            assert self.books.generation(one).state == ("rejected" if stays else "queued")

    @rule(core=st.sampled_from([0.1, 0.9]), late=st.booleans())
    def rescore(self, core: float, late: bool) -> None:  # noqa: FBT001 -- drawn
        """All that is final is judged anew; perhaps a person sends it back between the reading and the writing."""
        batch, character = self.batches[1], self.character
        assert character is not None
        with self.books.database.transaction() as connection:
            seen = rescoring.judged(connection, batch_id=batch, character_id=None, after=None, limit=100)
        if late:
            self._do(lambda c: by_person.retry(c, batch, states=[GenerationState.REJECTED]), again=False)
        verdict = Verdict(scores=Scores(core=core, style=0.9), thresholds=THRESHOLDS)
        target = GenerationState.COMPLETED if core > THRESHOLDS.core else GenerationState.REJECTED
        changes = [
            rescoring.Rejudged(
                generation_id=one.id,
                seen_at=one.seen_at,
                found=[(character, NewVerdict(asset_id=each.asset_id, verdict=verdict, origin=ORIGIN))],
                best=each.asset_id,
                target=target,
                reason="other thresholds",
            )
            for one in seen
            for each in one.pictures[:1]
        ]
        with self.books.database.transaction() as connection:
            moved = rescoring.rejudge(connection, changes, detail={})
        for one in seen:
            taken = late and one.state is GenerationState.REJECTED
            assert (one.id in moved) is (not taken and bool(one.pictures))

    # The dead, and those who come late

    @rule()
    def lose_leases(self) -> None:
        self.books.lapse()

    @rule()
    def take_over(self) -> None:
        self._rescue()

    @rule(data=st.data())
    def bury_poison(self, data: st.DataObject) -> None:
        row = self._one(data, "collecting", "validating")
        if row is not None and row.deaths > 0 and row.lease_token is None:
            end = collection.lost if row.state == "collecting" else validation.unfit
            self._do(lambda c: end(c, row.id, token=None, failure=ScorerError("poison")))

    @rule(data=st.data(), delivered=st.booleans())
    def turn_up(self, data: st.DataObject, delivered: bool) -> None:  # noqa: FBT001 -- drawn
        """The job or the reply of an attempt whose doubt was settled as lost is found after all."""
        lost = [
            row
            for row in self._attempts("finished")
            if row.doubted_at is not None and row.hold_state == "released" and row.job_id is None
        ]
        if not lost:
            return
        row = data.draw(st.sampled_from(lost))
        job, charged = f"late {row.id}", data.draw(CHARGES)
        self.excess += row.hold_usd + (charged if delivered else Decimal(0))
        if delivered:
            result = {"reply_keys": [job]}
            self._do(
                lambda c: late_discovery.delivered(
                    c, row.id, result=result, charged_usd=charged, said_by="x", request_id=job
                )
            )
        else:
            self._do(
                lambda c: late_discovery.adopt(c, row.id, job_id=job, first_look=NOW, deadline=NOW, actor="a test")
            )
        assert self.books.attempt(row.id).state != "finished"

    @precondition(lambda self: self.writes)
    @rule(data=st.data())
    def come_late(self, data: st.DataObject) -> None:
        """Anything written before is written once more, as by a worker that was stopped for a while."""
        write = data.draw(st.sampled_from(self.writes))
        before = self._rows()
        with suppress(LostRace), self.books.database.transaction() as connection:
            write(connection)
        assert self._rows() == before

    # People

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        batch = data.draw(st.sampled_from(self.batches))
        self._do(lambda c: by_person.request_cancel(c, batch), again=False)

    @rule(data=st.data(), state=st.sampled_from(sorted(GenerationState)))
    def retry(self, data: st.DataObject, state: GenerationState) -> None:
        batch = data.draw(st.sampled_from(self.batches))
        self._do(lambda c: by_person.retry(c, batch, states=[state]), again=False)

    @rule(data=st.data())
    def check_again(self, data: st.DataObject) -> None:
        batch = data.draw(st.sampled_from(self.batches))
        self._do(lambda c: by_person.check_again(c, batch), again=False)

    @rule(data=st.data(), paused=st.booleans())
    def pause(self, data: st.DataObject, paused: bool) -> None:  # noqa: FBT001 -- drawn
        batch = data.draw(st.sampled_from(self.batches))
        if paused:
            self._do(lambda c: batches.pause(c, batch, reason="a person"), again=False)
        else:
            self._do(lambda c: batches.resume(c, batch), again=False)

    @rule(limit=st.sampled_from([Decimal("0.40"), LIMIT, Decimal(3)]))
    def limit(self, limit: Decimal) -> None:
        self._do(lambda c: batches.set_limit(c, self.batches[1], limit), again=False)

    @rule(extra=st.integers(0, 2))
    def enqueue_again(self, extra: int) -> None:
        """The same file again, perhaps with a few more rows at its end."""
        name = self.books.row(self.batches[0]).name
        assert self.books.batch(extra, name=name, provider=self.lane) == self.batches[0]


def _stopped(connection: Connection, attempt_id: AttemptId, token: LeaseToken) -> None:
    """The provider takes the wish to stop the job, and then says that it has stopped."""
    polling.stop_asked(connection, attempt_id, token=token)
    polling.gave_up(connection, attempt_id, token=token, failure=JobFailed("stopped"), wait=None)


@pytest.fixture
def model(database: Database) -> Iterator[type[BooksModel]]:
    class Model(BooksModel):
        books = Books(database)

    yield Model
    Model.books.check()


_ALWAYS: dict[str, Any] = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}


def test_the_books_stay_right_whatever_happens(model: type[BooksModel]) -> None:
    # Without shrinking, which takes minutes on a real database; twenty steps can be read as they are.
    ordinary = settings(max_examples=10, stateful_step_count=20, derandomize=True, phases=[Phase.generate], **_ALWAYS)
    run_state_machine_as_test(model, settings=ordinary)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("part", range(2))
def test_the_books_stay_right_for_long(model: type[BooksModel], part: int) -> None:
    """Drawn anew each time; each part has a database of its own, since the books only ever grow."""
    run_state_machine_as_test(model, settings=settings(max_examples=30, stateful_step_count=50, **_ALWAYS))
