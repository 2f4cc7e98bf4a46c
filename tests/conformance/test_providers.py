"""One sentence, every adapter: what the steps rely on, whichever wire a lane speaks.

An adapter joins by a row in `tests.support.provider_wires.WIRES`; a test fails when the registry knows one that has
none.
"""

import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from domain.errors import (
    JobFailed,
    LikenessError,
    MaybeSent,
    ProviderError,
    RateLimited,
)
from providers.contract import Accepted, Ask, Delivered, Made, Reply, Running
from providers.registry import SERVICES
from tests.support.provider_wires import JOB, KEY, PIXEL, WIRES, JobWire, Wire


@pytest.fixture(params=sorted(WIRES))
def wire(request: pytest.FixtureRequest) -> Wire:
    return WIRES[request.param]


@pytest.fixture(params=sorted(name for name, wire in WIRES.items() if isinstance(wire, JobWire)))
def job_wire(request: pytest.FixtureRequest) -> JobWire:
    found = WIRES[request.param]
    assert isinstance(found, JobWire)
    return found


def ask(wire: Wire) -> Ask:
    return Ask(
        attempt_id="attempt-1",
        token="token-1",
        model=wire.model,
        prompt="a pink pig",
        settings=wire.settings,
        reference_urls=["https://r/1.png"],
    )


def failure_of(wire: Wire, answer: Reply) -> LikenessError:
    with pytest.raises(LikenessError) as caught:
        wire.adapter.read_submit(answer)
    return caught.value


def test_every_adapter_of_the_registry_is_held_to_these_sentences() -> None:
    assert {type(service.adapter()) for service in SERVICES.values()} == {type(wire.adapter) for wire in WIRES.values()}


def test_a_wire_has_jobs_if_and_only_if_they_can_be_asked_about(wire: Wire) -> None:
    assert wire.adapter.synchronous != isinstance(wire, JobWire)


def test_a_submission_is_never_called_repeatable(wire: Wire) -> None:
    assert not wire.adapter.build_submit(ask(wire)).repeatable


def test_a_poll_is_always_called_repeatable(job_wire: JobWire) -> None:
    poll = job_wire.adapter.build_poll(JOB)
    assert poll.repeatable
    assert poll.method == "GET"
    assert JOB in poll.path + "".join(poll.params.values())


def test_a_submission_is_over_when_the_adapter_says(wire: Wire) -> None:
    assert wire.adapter.build_submit(ask(wire)).total_s == wire.adapter.submit_total_s


def test_the_same_ask_is_the_same_call(wire: Wire) -> None:
    assert wire.adapter.build_submit(ask(wire)) == wire.adapter.build_submit(ask(wire))
    assert not getattr(wire.adapter, "__dict__", {})


def test_the_text_that_is_kept_is_the_text_that_is_sent(wire: Wire) -> None:
    call = wire.adapter.build_submit(ask(wire))
    assert wire.text_in(call) == wire.adapter.prompt_text(ask(wire))
    assert "a pink pig" in json.dumps(call.json)


def test_the_key_travels_in_the_headers_of_the_account_alone(wire: Wire) -> None:
    assert KEY in "".join(wire.adapter.auth_headers(KEY).values())
    assert KEY not in repr(wire.adapter.build_submit(ask(wire)))
    if isinstance(wire, JobWire):
        assert KEY not in repr(wire.adapter.build_poll(JOB))


def test_our_own_ids_are_not_sent(wire: Wire) -> None:
    said = repr(wire.adapter.build_submit(ask(wire)))
    assert "attempt-1" not in said
    assert "token-1" not in said


def test_an_acceptance_gives_the_job_s_id(job_wire: JobWire) -> None:
    assert job_wire.adapter.read_submit(job_wire.accepted) == Accepted(job_id=JOB)


def test_a_list_is_searched_for_the_text_that_is_kept(job_wire: JobWire) -> None:
    adapter = job_wire.adapter
    assert adapter.list_parts
    kept = job_wire.adapter.prompt_text(ask(job_wire))
    other = replace(ask(job_wire), attempt_id="attempt-2", prompt="another pig")
    assert adapter.resembles(kept, kept)
    assert not adapter.resembles(kept, job_wire.adapter.prompt_text(other))


def test_a_wire_without_jobs_gives_the_pictures_at_once(wire: Wire) -> None:
    if not isinstance(wire, JobWire):
        delivered = wire.adapter.read_submit(wire.accepted)
        assert isinstance(delivered, Delivered)
        assert delivered.pictures == [PIXEL]
        assert delivered.charged_usd is None or isinstance(delivered.charged_usd, Decimal)


def test_a_documented_refusal_is_certain(wire: Wire) -> None:
    for answer, kind in wire.refusals.values():
        assert type(failure_of(wire, answer)) is kind


@pytest.mark.parametrize("status", [301, 302, 307, 408, 409, 500, 502, 503, 504])
def test_a_status_that_is_no_refusal_leaves_a_doubt(wire: Wire, status: int) -> None:
    assert type(failure_of(wire, Reply(status=status, headers={}, content=wire.accepted.content))) is MaybeSent


@pytest.mark.parametrize("content", [b"", b"<html>", b"null", b"[]", b"{}", b'{"status":"SUCC'])
def test_a_success_that_cannot_be_read_leaves_a_doubt(wire: Wire, content: bytes) -> None:
    assert type(failure_of(wire, Reply(status=200, headers={}, content=content))) is MaybeSent


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after": "Sat, 21 Nov 2026 10:00:30 GMT", "date": "Sat, 21 Nov 2026 10:00:00 GMT"}, 30),
        ({}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "1e15"}, 86_400),
        ({"retry-after": "1795255200"}, 86_400),
        ({"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT"}, 86_400),
        ({"retry-after": "Sat, 21 Nov 2026 09:00:00 GMT", "date": "Sat, 21 Nov 2026 10:00:00 GMT"}, 0),
    ],
)
def test_a_pause_asked_for_is_passed_on_in_seconds(wire: Wire, headers: dict[str, str], seconds: float | None) -> None:
    failure = failure_of(wire, Reply(status=429, headers=headers, content=b"{}"))
    assert isinstance(failure, RateLimited)
    assert failure.retry_after_s == seconds


def test_a_job_at_work_is_running(job_wire: JobWire) -> None:
    assert job_wire.adapter.read_poll(job_wire.running) == Running(percent=31)


def test_a_finished_job_has_pictures_and_an_exact_charge(job_wire: JobWire) -> None:
    done = job_wire.adapter.read_poll(job_wire.finished)
    assert isinstance(done, Made)
    assert done.picture_urls or done.grid_url
    assert done.charged_usd is None or isinstance(done.charged_usd, Decimal)


def test_the_service_s_last_word_ends_a_job(job_wire: JobWire) -> None:
    for answer, kind in job_wire.last_words.values():
        with pytest.raises(ProviderError) as caught:
            job_wire.adapter.read_poll(answer)
        assert type(caught.value) is kind


@pytest.mark.parametrize("status", [302, 401, 402, 403, 404, 408, 429, 500, 503])
def test_a_poll_that_fails_never_ends_a_job(job_wire: JobWire, status: int) -> None:
    with pytest.raises(ProviderError) as caught:
        job_wire.adapter.read_poll(Reply(status=status, headers={}, content=b"<html>"))
    assert caught.value.retryable
    assert not isinstance(caught.value, JobFailed | MaybeSent)


def test_the_first_look_is_worth_it(job_wire: JobWire) -> None:
    assert (
        timedelta(0)
        < job_wire.adapter.first_look_after(job_wire.settings, model=job_wire.model)
        <= timedelta(minutes=10)
    )
