"""From the provider's last word to the end: collecting, validating, and what each leaves behind."""

from uuid import uuid4

import pytest

from db.moves import by_person, collection, validation
from db.moves.rows import hand_back
from db.moves.validation import NewVerdict
from db.schema import generation_assets
from db.schema_checks import model_inputs, verdicts
from domain.errors import LostRace, OutOfMemory, PictureAway, PictureLost, ServiceMissing, UnfitPicture
from domain.ids import AssetId, AttemptId, CharacterId, LeaseToken
from domain.states import GenerationState
from domain.verdict import Origin, Scores, Thresholds, Verdict
from tests.support.books import A_MINUTE, PRICE, Books, asset

ORIGIN = Origin(model="m", revision="r", preprocessing="p", dtype="float32", references="d")
PIXELS = (b"\x00" * 12, 2, "digest")


def _verdict(asset_id: AssetId, *, core: float) -> NewVerdict:
    thresholds = Thresholds(version=1, core=0.75, style=0.6, origin="default")
    verdict = Verdict(scores=Scores(core=core, style=0.9), thresholds=thresholds)
    return NewVerdict(asset_id=asset_id, verdict=verdict, origin=ORIGIN)


def _cancel(books: Books, attempt_id: AttemptId) -> None:
    with books.database.transaction() as connection:
        by_person.request_cancel(connection, books.attempt(attempt_id).batch_id)


def _judge(
    books: Books, attempt_id: AttemptId, *, token: LeaseToken, character: CharacterId, core: float
) -> GenerationState:
    with books.database.transaction() as connection:
        inputs = validation.inputs(connection, attempt_id)
        found = [_verdict(one.asset_id, core=core) for one in inputs]
        return validation.judged(
            connection, attempt_id, token=token, character_id=character, found=found, best=found[0].asset_id
        )


def test_a_picture_without_a_character_completes_its_generation(books: Books) -> None:
    attempt_id = books.collecting()
    token = books.claim_collection(attempt_id)
    missing = asset(0, missing_reason="picture_lost: 404")
    assert books.collect(attempt_id, token, missing, asset(1), asset(2)) is GenerationState.COMPLETED
    rows = {row.position: row for row in books.rows(generation_assets)}
    assert [rows[at].best for at in range(3)] == [False, True, False]
    assert rows[0].missing_reason == "picture_lost: 404"
    generation = books.generation_of(attempt_id)
    assert (generation.status, generation.cost, generation.error_code) == ("completed", PRICE, None)
    assert books.attempt(attempt_id).stored_at is not None


def test_pictures_are_written_once(books: Books) -> None:
    attempt_id = books.collecting()
    token = books.claim_collection(attempt_id)
    books.collect(attempt_id, token)
    with pytest.raises(LostRace):
        books.collect(attempt_id, token)
    assert len(books.rows(generation_assets)) == 1


def test_only_one_worker_collects_and_only_when_it_is_due(books: Books) -> None:
    attempt_id = books.collecting()
    token = books.claim_collection(attempt_id)
    with pytest.raises(AssertionError):
        books.claim_collection(attempt_id)
    with books.database.transaction() as connection:
        collection.again(connection, attempt_id, token=token, failure=PictureAway("503"), wait=A_MINUTE)
    row = books.attempt(attempt_id)
    assert (row.state, row.step_tries, row.error_code, row.lease_token) == ("collecting", 1, "picture_away", None)
    with pytest.raises(AssertionError):
        books.claim_collection(attempt_id)
    books.sql("UPDATE attempts SET published_at = now()")
    books.claim_collection(attempt_id)
    assert books.attempt(attempt_id).step_tries == 2


def test_what_this_machine_lacks_costs_no_try(books: Books) -> None:
    attempt_id = books.collecting()
    token = books.claim_collection(attempt_id)
    with books.database.transaction() as connection:
        hand_back(connection, attempt_id, token=token, failure=ServiceMissing("no key"), wait=A_MINUTE)
        hand_back(connection, attempt_id, token=token)  # the lease is gone: nothing happens
    row = books.attempt(attempt_id)
    assert (row.step_tries, row.error_code, row.lease_token) == (0, "service_missing", None)
    assert row.published_at > row.made_at


def test_pictures_that_are_lost_fail_the_generation_and_stay_charged(books: Books) -> None:
    attempt_id = books.collecting()
    token = books.claim_collection(attempt_id)
    with books.database.transaction() as connection:
        collection.lost(connection, attempt_id, token=token, failure=PictureLost("gone"))
    generation = books.generation_of(attempt_id)
    assert (generation.state, generation.error_code, generation.cost) == ("failed", "picture_lost", PRICE)
    assert books.attempt(attempt_id).hold_state == "charged"
    assert books.admit() == [], "a paid failure is never tried again unasked"


def test_a_canceled_generation_keeps_its_pictures_and_its_cost(books: Books) -> None:
    attempt_id = books.collecting()
    _cancel(books, attempt_id)
    assert books.collect(attempt_id, books.claim_collection(attempt_id)) is GenerationState.CANCELED
    assert books.generation_of(attempt_id).cost == PRICE
    assert len(books.rows(generation_assets)) == 1


def test_renewed_addresses_are_written_under_the_lease_alone(books: Books) -> None:
    attempt_id = books.collecting()
    token = books.claim_collection(attempt_id)
    for one, url in ((token, "http://new"), (LeaseToken(uuid4()), "http://forged")):
        with books.database.transaction() as connection:
            collection.renewed(connection, attempt_id, token=one, result={"picture_urls": [url]})
    assert books.attempt(attempt_id).result == {"picture_urls": ["http://new"]}


def test_model_inputs_live_until_the_verdict(books: Books) -> None:
    character = books.character()
    attempt_id = books.collecting(character=character)
    token = books.claim_collection(attempt_id)
    assert books.collect(attempt_id, token, asset(0, model_input=PIXELS)) is GenerationState.VALIDATING
    assert [row.attempt_id for row in books.rows(model_inputs)] == [attempt_id]
    reached = _judge(books, attempt_id, token=books.claim_validation(attempt_id), character=character, core=0.9)
    assert reached is GenerationState.COMPLETED
    assert books.rows(model_inputs) == []


@pytest.mark.parametrize(("core", "state"), [(0.75, "completed"), (0.74, "rejected")])
def test_the_best_picture_decides(books: Books, core: float, state: str) -> None:
    attempt_id, character = books.validating()
    _judge(books, attempt_id, token=books.claim_validation(attempt_id), character=character, core=core)
    generation = books.generation_of(attempt_id)
    assert (generation.state, generation.cost) == (state, PRICE)
    (verdict,) = books.rows(verdicts)
    assert verdict.passed == (state == "completed")
    assert verdict.threshold_version == 1
    assert books.rows(generation_assets)[0].best


def test_a_cancel_wins_over_a_verdict_and_the_verdict_is_kept(books: Books) -> None:
    attempt_id, character = books.validating()
    _cancel(books, attempt_id)
    _judge(books, attempt_id, token=books.claim_validation(attempt_id), character=character, core=0.9)
    assert books.generation_of(attempt_id).state == "canceled"
    assert len(books.rows(verdicts)) == 1


def test_a_verdict_comes_once_and_under_the_lease(books: Books) -> None:
    attempt_id, character = books.validating()
    token = books.claim_validation(attempt_id)
    with pytest.raises(AssertionError):
        books.claim_validation(attempt_id)
    with pytest.raises(LostRace):
        _judge(books, attempt_id, token=LeaseToken(uuid4()), character=character, core=0.9)
    _judge(books, attempt_id, token=token, character=character, core=0.9)
    with pytest.raises(LostRace):
        _judge(books, attempt_id, token=token, character=character, core=0.1)
    assert books.generation_of(attempt_id).state == "completed"


def test_a_check_that_cannot_be_made_now_is_made_later(books: Books) -> None:
    attempt_id, _ = books.validating()
    token = books.claim_validation(attempt_id)
    with books.database.transaction() as connection:
        validation.again(connection, attempt_id, token=token, failure=OutOfMemory("full"), wait=A_MINUTE)
    row = books.attempt(attempt_id)
    assert (row.state, row.step_tries, row.error_code) == ("validating", 1, "out_of_memory")


def test_a_check_that_cannot_be_made_at_all_fails_charged_with_its_pictures(books: Books) -> None:
    attempt_id, _ = books.validating()
    token = books.claim_validation(attempt_id)
    with books.database.transaction() as connection:
        validation.unfit(connection, attempt_id, token=token, failure=UnfitPicture("blank"))
    generation = books.generation_of(attempt_id)
    assert (generation.state, generation.error_code, generation.cost) == ("failed", "unfit_picture", PRICE)
    assert len(books.rows(generation_assets)) == 1


def test_a_second_verdict_replaces_the_first_one_of_the_same_character(books: Books) -> None:
    attempt_id, character = books.validating()
    _judge(books, attempt_id, token=books.claim_validation(attempt_id), character=character, core=0.9)
    (first,) = books.rows(verdicts)
    with books.database.transaction() as connection:
        validation.write_verdict(connection, character, _verdict(AssetId(first.asset_id), core=0.1))
    (second,) = books.rows(verdicts)
    assert (second.asset_id, second.passed) == (first.asset_id, False)


def test_refilled_inputs_free_the_check_without_counting_a_try(books: Books) -> None:
    attempt_id, _ = books.validating()
    token = books.claim_validation(attempt_id)
    with books.database.transaction() as connection:
        (one,) = validation.inputs(connection, attempt_id)
        assert one.pixels is None
        collection.refilled(connection, attempt_id, token=token, inputs={one.asset_id: PIXELS})
    with books.database.transaction() as connection:
        (one,) = validation.inputs(connection, attempt_id)
    assert (one.pixels, one.size, one.preprocessing) == PIXELS
    row = books.attempt(attempt_id)
    assert (row.step_tries, row.lease_token) == (0, None)


def test_inputs_are_not_refilled_for_an_attempt_that_has_moved_on(books: Books) -> None:
    attempt_id, character = books.validating()
    token = books.claim_validation(attempt_id)
    _judge(books, attempt_id, token=token, character=character, core=0.9)
    with pytest.raises(LostRace), books.database.transaction() as connection:
        collection.refilled(connection, attempt_id, token=token, inputs={AssetId(uuid4()): PIXELS})
    assert books.rows(model_inputs) == []
