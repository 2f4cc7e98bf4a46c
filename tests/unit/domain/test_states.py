"""The one table of moves: everything can be reached, everything ends, and the public words fit."""

import pytest

from domain.states import (
    FINAL,
    IN_FLIGHT,
    LIVE,
    MOVES,
    PUBLIC_STATUS,
    AttemptState,
    GenerationState,
    HoldState,
    sources_of,
)

S = GenerationState
BY_A_PERSON = {
    (S.FAILED, S.PREPARING),
    (S.FAILED, S.QUEUED),
    (S.FAILED, S.VALIDATING),
    (S.REJECTED, S.QUEUED),
    (S.CANCELED, S.PREPARING),
    (S.CANCELED, S.QUEUED),
}


def _reachable(start: GenerationState, *, without: frozenset[GenerationState] = frozenset()) -> set[GenerationState]:
    seen, rest = {start}, [start]
    while rest:
        for onward in MOVES[rest.pop()] - without - seen:
            seen.add(onward)
            rest.append(onward)
    return seen


def test_every_state_has_a_row_in_the_table() -> None:
    assert set(MOVES) == set(GenerationState)


def test_every_state_is_reachable_from_the_first_one() -> None:
    assert _reachable(S.PREPARING) == set(GenerationState)
    assert _reachable(S.QUEUED, without=frozenset({S.PREPARING})) == set(GenerationState) - {S.PREPARING}


@pytest.mark.parametrize("state", sorted(set(GenerationState) - FINAL))
def test_every_unfinished_state_can_end_in_every_way_that_is_left_to_it(state: GenerationState) -> None:
    assert _reachable(state) >= FINAL
    assert {S.FAILED, S.CANCELED} <= MOVES[state]


@pytest.mark.parametrize("state", sorted(FINAL))
def test_a_final_state_is_left_by_a_person_or_a_new_threshold_alone(state: GenerationState) -> None:
    left = {(state, onward) for onward in MOVES[state]}
    assert left <= BY_A_PERSON | {(S.REJECTED, S.COMPLETED), (S.COMPLETED, S.REJECTED)}


def test_completed_work_is_never_queued_again() -> None:
    assert S.QUEUED not in MOVES[S.COMPLETED]


def test_no_move_leads_to_where_it_starts() -> None:
    assert not [state for state, onward in MOVES.items() if state in onward]


def test_only_an_intent_leads_to_a_doubt_and_a_doubt_is_never_submitted_again() -> None:
    assert sources_of(S.IN_DOUBT) == {S.SUBMITTING}
    assert sources_of(S.SUBMITTING) == {S.ADMITTED}


def test_a_job_begins_at_its_intent_or_at_its_doubt() -> None:
    # From the queue where a job turns up after its doubt had been settled as lost.
    assert sources_of(S.GENERATING) == {S.SUBMITTING, S.IN_DOUBT, S.QUEUED}


@pytest.mark.parametrize("target", sorted(GenerationState))
def test_sources_are_the_table_read_backwards(target: GenerationState) -> None:
    assert sources_of(target) == {state for state in GenerationState if target in MOVES[state]}


def test_the_public_status_has_four_words() -> None:
    assert {state.value: status for state, status in PUBLIC_STATUS.items()} == {
        "preparing": "pending",
        "queued": "pending",
        "admitted": "processing",
        "submitting": "processing",
        "in_doubt": "processing",
        "generating": "processing",
        "collecting": "processing",
        "validating": "processing",
        "completed": "completed",
        "rejected": "failed",
        "failed": "failed",
        "canceled": "failed",
    }


def test_a_live_attempt_carries_a_word_of_its_generation() -> None:
    assert {state.value for state in LIVE} <= {state.value for state in GenerationState}
    assert {state.value for state in LIVE}.isdisjoint(state.value for state in FINAL)


def test_a_place_is_held_from_admission_to_the_providers_last_word() -> None:
    assert {AttemptState.COLLECTING, AttemptState.VALIDATING} == LIVE - IN_FLIGHT


def test_a_hold_ends_in_one_of_four_words() -> None:
    assert {state.value for state in HoldState} == {"held", "in_doubt", "charged", "released"}
