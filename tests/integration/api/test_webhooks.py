"""Webhooks of both wires: a socket, real Postgres, the real sandbox that calls back, and its bill to compare with.

Verified or ignored; never believed. Each test ends with books that agree.
"""

import json
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import Connection, text

from api.main import bound
from db.moves import doubts, polling, submission, webhooks
from db.moves.doubts import NeverArrived
from db.moves.grouped import NewJob, store_jobs
from db.records import history
from db.session import Database
from domain.ids import AttemptId
from sandbox.process import running
from tests.conftest import Sent
from tests.support.books import lease
from tests.support.sandbox_client import until
from tests.support.webhook_runner import FAR, STRANGER, WebhookRunner, runner_of, served

NOT_FOUND = (
    404,
    (
        b'{"type":"urn:likeness:problem:not_found","title":"There is no such thing","status":404,'
        b'"detail":"There is no such thing","code":"not_found"}'
    ),
)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("sandbox"), latency_s=0.02, size_px=64, callback_pause=0.05) as url:
        yield url


@pytest.fixture(params=["ttapi", "replicate"])
def api(
    request: pytest.FixtureRequest, database: Database, sandbox: str, sent: Sent, home: Path
) -> Iterator[WebhookRunner]:
    with runner_of(request.param, database, url=sandbox, sent=sent, home=home) as opened:
        yield opened


@pytest.fixture
def unsigned(database: Database, sandbox: str, sent: Sent, home: Path) -> Iterator[WebhookRunner]:
    with runner_of("ttapi", database, url=sandbox, sent=sent, home=home) as opened:
        yield opened


@pytest.fixture
def signing(database: Database, sandbox: str, sent: Sent, home: Path) -> Iterator[WebhookRunner]:
    with runner_of("replicate", database, url=sandbox, sent=sent, home=home) as opened:
        yield opened


def answer_of(reply: httpx2.Response) -> tuple[int, bytes]:
    return reply.status_code, reply.content


# --- An honest one ---


def test_a_webhook_makes_its_job_due_and_the_poll_decides(api: WebhookRunner) -> None:
    attempt_id = api.submitted()
    until(lambda: api.is_due(attempt_id), what="the webhook")
    (event,) = api.events()
    row = api.row(attempt_id)
    assert (event.attempt_id, event.job_id) == (attempt_id, row.job_id)
    assert (row.state, row.charged_usd) == ("generating", None), "a webhook alone decides nothing"
    assert api.sweep() == 1
    assert api.row(attempt_id).state == "collecting"
    assert len(api.jobs()) == 1


def test_without_a_webhook_the_look_is_where_it_was(api: WebhookRunner) -> None:
    api.arm("callback", "lost_callback")
    attempt_id = api.submitted()
    until(lambda: api.jobs()[0]["finished_at"] is not None, what="the picture")
    assert not api.is_due(attempt_id)
    assert (api.sweep(), api.events()) == (0, [])


def test_a_webhook_that_comes_during_a_look_is_followed_by_another_look(api: WebhookRunner) -> None:
    api.arm("submit", "stuck")
    attempt_id = api.submitted()
    api.books.sql("UPDATE attempts SET due_at = now()")
    held = lease()
    with api.resources.database.transaction() as connection:
        began = doubts.now(connection)
        (work,) = polling.claim_due(connection, api.provider, limit=1, lease=held)
    assert api.authentic(attempt_id, job_id=str(work.job_id)).status_code == 200
    for since, due in ((began, True), (None, False)):
        with api.resources.database.transaction() as connection:
            polling.looked(connection, attempt_id, token=held.token, percent=1, next_look=FAR, since=since)
        assert api.is_due(attempt_id) == due
        api.books.sql("UPDATE attempts SET lease_token = :token, lease_until = now()", token=held.token)


def _at_the_same_moment(api: WebhookRunner, attempt_id: AttemptId, write: Callable[[Connection], object]) -> None:
    """Begin `write` while a webhook for the attempt is on its way into the books, and let both end."""

    def in_a_transaction() -> None:
        with api.resources.database.transaction() as other:
            write(other)

    def waits() -> bool:
        with api.resources.database.transaction() as third:
            asked = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            return third.execute(text(asked)).first() is not None

    with ThreadPoolExecutor(1) as threads:
        with api.resources.database.transaction() as connection:
            token = api.row(attempt_id).token
            webhooks.received(connection, lane=api.provider, token=token, event_id="at once", job_id="any", signed=True)
            writing = threads.submit(in_a_transaction)
            until(waits, what="the other to wait for the row")
        writing.result()


@pytest.mark.parametrize("grouped_with_others", [True, False])
def test_a_webhook_that_meets_the_reply_to_the_submission_is_seen(
    api: WebhookRunner, *, grouped_with_others: bool
) -> None:
    attempt_id, held = api.admitted(), lease()
    with api.resources.database.transaction() as connection:
        submission.claim(connection, attempt_id, lease=held, sent_prompt="a pig")
    job: dict[str, Any] = {"token": held.token, "job_id": "any", "first_look": FAR, "deadline": FAR}

    def write(connection: Connection) -> None:
        if grouped_with_others:
            assert store_jobs(connection, [NewJob(attempt_id=attempt_id, **job)]) == [True]
        else:
            submission.accepted(connection, attempt_id, **job)

    _at_the_same_moment(api, attempt_id, write)
    assert api.row(attempt_id).state == "generating"
    assert api.is_due(attempt_id)


def test_a_webhook_that_meets_the_end_of_a_look_is_seen(api: WebhookRunner) -> None:
    api.arm("submit", "stuck")
    attempt_id, held = api.submitted(), lease()
    api.books.sql("UPDATE attempts SET due_at = now()")
    with api.resources.database.transaction() as connection:
        began = doubts.now(connection)
        assert len(polling.claim_due(connection, api.provider, limit=1, lease=held)) == 1
    look = {"token": held.token, "percent": 1, "next_look": FAR, "since": began}
    _at_the_same_moment(api, attempt_id, lambda connection: polling.looked(connection, attempt_id, **look))
    assert api.is_due(attempt_id)


# --- Forged and replayed ones ---


def test_a_forged_webhook_gets_one_answer_and_changes_nothing(
    api: WebhookRunner, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    api.arm("callback", "lost_callback")
    attempt_id = api.submitted()
    before, row, body = api.standing(), api.row(attempt_id), b'{"id": "x", "jobId": "x", "status": "SUCCESS"}'
    guessed = uuid.uuid4().hex
    attacks = [(guessed, body, {}), (guessed, b"", {}), (guessed, b"\xff{", {"webhook-signature": "v1"})]
    attacks += [(guessed, b"[" * 100_000, {}), (row.token.upper(), body, {}), (f"{row.token}%00", body, {})]
    if api.provider == "replicate":
        now = time.time()
        right = api.signature(body, at_s=now)
        attacks += [
            (row.token, body, {}),
            (row.token, body, api.signature(body, at_s=now, secret=STRANGER)),
            (row.token, body, api.signature(b"{}", at_s=now)),
            (row.token, body, {**right, "webhook-signature": "without a comma"}),
            (row.token, body, {**right, "webhook-signature": "v1,no-base64!"}),
            (row.token, body, {**right, "webhook-signature": right["webhook-signature"].replace("v1,", "v2,")}),
            (row.token, body, {**right, "webhook-id": "msg_other"}),
            (row.token, body, {**right, "webhook-timestamp": "nan"}),
            (row.token, b"\xff\xfe", right),
        ]
    assert {answer_of(api.send(token, sent, headers)) for token, sent, headers in attacks} == {NOT_FOUND}
    assert api.standing() == before
    assert api.events() == []
    # The test's own client says what it sends; it is not ours.
    said = "\n".join(one.getMessage() for one in caplog.records if not one.name.startswith(("httpx2", "httpcore2")))
    assert said.count("refused") >= len(attacks)
    assert row.token not in said
    assert guessed not in said


def test_every_wrong_address_gets_the_same_answer(api: WebhookRunner) -> None:
    token = api.row(api.submitted()).token
    wrong = [
        f"/hooks/openai/{token}",
        f"/hooks/nobody/{token}",
        f"/hooks/{api.provider}/",
        "/hooks",
        "/docs",
        "/redoc",
    ]
    replies = [api.http.post(path, content=b"{}") for path in wrong]
    assert {answer_of(reply) for reply in replies} == {NOT_FOUND}


def test_a_slash_too_much_is_answered_and_not_redirected(unsigned: WebhookRunner) -> None:
    unsigned.arm("callback", "lost_callback")
    token = unsigned.row(unsigned.submitted()).token
    assert unsigned.http.post(f"/hooks/ttapi/{token}/", content=b"{}").status_code == 404
    assert unsigned.events() == []


def test_a_body_beyond_the_limit_is_not_read_to_its_end(unsigned: WebhookRunner) -> None:
    unsigned.arm("callback", "lost_callback")
    token = unsigned.row(unsigned.submitted()).token
    before = unsigned.standing()
    large = b"{" + b" " * (4 * 2**20)
    assert answer_of(unsigned.send(token, large)) == NOT_FOUND
    chunked = unsigned.http.post(f"/hooks/ttapi/{token}", content=iter([large, large]))
    assert answer_of(chunked) == NOT_FOUND
    assert (unsigned.standing(), unsigned.events()) == (before, [])


def test_a_stranger_who_knows_a_token_of_ttapi_can_only_have_us_look(unsigned: WebhookRunner) -> None:
    unsigned.arm("submit", "stuck")
    unsigned.arm("callback", "forged_callback")
    attempt_id = unsigned.submitted()
    until(unsigned.events, what="the forged callback, which claims a success with pictures of its own")
    assert unsigned.is_due(attempt_id)
    assert unsigned.sweep() == 0
    row = unsigned.row(attempt_id)
    assert (row.state, row.charged_usd, row.result) == ("generating", None, {})


def test_a_forged_webhook_of_replicate_is_refused(signing: WebhookRunner, caplog: pytest.LogCaptureFixture) -> None:
    signing.arm("submit", "stuck")
    signing.arm("callback", "forged_callback")
    attempt_id = signing.submitted()
    before = signing.standing()
    until(lambda: "No matching signature" in caplog.text, what="the refusal")
    assert (signing.standing(), signing.events()) == (before, [])
    assert not signing.is_due(attempt_id)


def test_a_replayed_webhook_changes_nothing(signing: WebhookRunner, caplog: pytest.LogCaptureFixture) -> None:
    """The sandbox signs as ten minutes ago; then somebody repeats a good one within its five minutes."""
    signing.arm("callback", "stale_callback")
    attempt_id = signing.submitted()
    until(lambda: "timestamp too old" in caplog.text, what="the refusal")
    assert (signing.events(), signing.is_due(attempt_id)) == ([], False)
    job_id = signing.row(attempt_id).job_id
    assert signing.authentic(attempt_id, job_id=job_id).status_code == 200
    signing.books.sql("UPDATE attempts SET due_at = now() + interval '1 hour'")
    before = signing.standing()
    assert signing.authentic(attempt_id, job_id=job_id, at_s=time.time() - 290).status_code == 200
    assert answer_of(signing.authentic(attempt_id, job_id=job_id, at_s=time.time() + 400)) == NOT_FOUND
    assert (signing.standing(), len(signing.events())) == (before, 1)


# --- Duplicate, late and early ones ---


def test_a_duplicate_is_kept_once_and_charged_once(api: WebhookRunner) -> None:
    api.arm("callback", "duplicate_callback")
    attempt_id = api.submitted()
    until(lambda: api.is_due(attempt_id), what="the webhook")
    # The second copy holds the row for a moment, and a sweep passes rows that others hold.
    until(lambda: api.sweep() == 1, what="the job's end, by a look")
    charged = api.row(attempt_id).charged_usd
    for _ in range(2):
        assert api.authentic(attempt_id, job_id="whatever", event_id="msg_again").status_code == 200
    assert len(api.events()) == 2, "the service's own, and ours"
    assert (api.row(attempt_id).charged_usd, len(api.jobs())) == (charged, 1)


def test_a_duplicate_does_not_make_due_again(api: WebhookRunner) -> None:
    api.arm("submit", "stuck")
    attempt_id = api.submitted()
    job_id = api.row(attempt_id).job_id
    assert api.authentic(attempt_id, job_id=job_id).status_code == 200
    assert api.is_due(attempt_id)
    api.books.sql("UPDATE attempts SET due_at = now() + interval '1 hour'")
    before = api.standing()
    assert api.authentic(attempt_id, job_id=job_id).status_code == 200
    assert api.standing() == before


def test_many_copies_at_once_are_one_event(api: WebhookRunner) -> None:
    api.arm("submit", "stuck")
    attempt_id = api.submitted()
    job_id = api.row(attempt_id).job_id
    with ThreadPoolExecutor(8) as senders:
        replies = list(senders.map(lambda _: api.authentic(attempt_id, job_id=job_id), range(40)))
    assert {reply.status_code for reply in replies} == {200}
    assert len(api.events()) == 1


def test_a_late_webhook_is_taken_and_changes_nothing(api: WebhookRunner) -> None:
    api.arm("callback", "late_callback:0.5")
    attempt_id = api.submitted()

    def ended() -> bool:
        api.books.sql("UPDATE attempts SET due_at = now() WHERE state = 'generating'")
        return api.sweep() == 1

    until(ended, what="the last word, by polling")
    before = api.standing()
    until(api.events, what="the late webhook")
    assert api.standing() == before
    assert api.row(attempt_id).state == "collecting"


def test_a_webhook_faster_than_the_reply_is_remembered_when_the_job_is_stored(api: WebhookRunner) -> None:
    api.arm("callback", "early_callback")
    attempt_id = api.submitted()
    (event,) = api.events()
    assert (event.attempt_id, event.job_id) == (attempt_id, api.row(attempt_id).job_id)
    assert api.is_due(attempt_id), "not in an hour"
    assert api.sweep() == 1
    assert (api.row(attempt_id).state, len(api.jobs())) == ("collecting", 1)


# --- Doubts ---


def doubted(api: WebhookRunner, prompt: str = "a pink pig in a garden") -> tuple[object, str]:
    """An attempt whose reply was lost although the job exists, and the job."""
    api.arm("submit", "drop_after")
    attempt_id = api.submitted(prompt)
    assert api.row(attempt_id).state == "in_doubt"
    until(api.events, what="the webhook, which knows the job")
    return attempt_id, str(api.events()[0].job_id)


def test_a_webhook_names_the_job_of_a_lost_reply(api: WebhookRunner) -> None:
    attempt_id, job_id = doubted(api)
    api.arm("list", "status:503", count=9)  # not by the list, then
    assert api.settle() == 1
    row = api.row(attempt_id)
    assert (row.state, row.job_id, row.hold_state) == ("generating", job_id, "held")
    assert api.story(attempt_id) == [(history.A_WEBHOOK, "in_doubt", "generating")]
    assert api.sweep() == 1
    assert (api.row(attempt_id).state, [line["job_id"] for line in api.jobs()]) == ("collecting", [job_id])


def test_a_candidate_that_shows_another_request_is_not_adopted(api: WebhookRunner) -> None:
    api.arm("callback", "lost_callback")
    stranger = httpx2.Client(base_url=api.url, timeout=30, trust_env=False)
    with stranger:
        if api.provider == "ttapi":
            body = {"prompt": "a whale --v 7", "mode": "fast"}
            made = stranger.post("/ttapi/midjourney/v1/imagine", json=body, headers={"TT-API-KEY": api.key})
            other = made.json()["data"]["jobId"]
        else:
            made = stranger.post(
                "/replicate/v1/models/google/nano-banana-pro/predictions",
                json={"input": {"prompt": "a whale"}},
                headers={"Authorization": f"Bearer {api.key}"},
            )
            other = made.json()["id"]
    api.arm("submit", "drop_before")
    attempt_id = api.submitted()
    api.arm("list", "status:503", count=9)
    for event_id, job_id in (("msg_1", other), ("msg_2", "no-such-job"), ("msg_3", "../info\x00")):
        assert api.authentic(attempt_id, job_id=job_id, event_id=event_id).status_code == 200
    assert api.settle() == 0
    assert api.row(attempt_id).state == "in_doubt", "naming a job proves nothing"
    api.clear()
    api.settle()
    api.settle()
    assert api.row(attempt_id).outcome == "given_back", "and keeps no list from proving that there is none"


def test_a_job_that_somebody_owns_is_no_candidate(api: WebhookRunner) -> None:
    api.arm("callback", "lost_callback", count=2)
    owner = api.submitted("a pig")
    api.arm("submit", "drop_before")
    attempt_id = api.submitted("a fox")
    api.arm("list", "status:503", count=9)
    assert api.authentic(attempt_id, job_id=api.row(owner).job_id).status_code == 200
    assert api.settle() == 0
    assert (api.row(owner).state, api.row(attempt_id).state) == ("generating", "in_doubt")


def test_a_webhook_after_the_doubt_was_settled_as_lost_brings_the_job_back(api: WebhookRunner) -> None:
    api.arm("callback", "late_callback:0.3")
    api.arm("submit", "drop_after")
    attempt_id = api.submitted()
    with api.resources.database.transaction() as connection:
        doubts.not_accepted(connection, attempt_id, failure=NeverArrived("said a person"), actor=history.PERSON)
    api.books.sql("UPDATE attempts SET late_look_at = now() + interval '1 hour'")
    until(api.events, what="the late webhook")
    api.arm("list", "status:503", count=9)
    assert api.settle() == 1
    assert (api.row(attempt_id).state, api.row(attempt_id).job_id) == ("generating", api.jobs()[0]["job_id"])
    assert api.story(attempt_id)[-1][0] == history.A_WEBHOOK


# --- The rest ---


def test_a_signed_webhook_for_a_token_that_is_gone_does_no_harm(signing: WebhookRunner) -> None:
    attempt_id = signing.submitted()
    body = json.dumps({"id": signing.row(attempt_id).job_id}).encode()
    reply = signing.send("gone", body, signing.signature(body, event_id="msg_gone", at_s=time.time()))
    assert reply.status_code == 200
    assert signing.is_due(attempt_id), "its job is known all the same"


def test_webhooks_are_forgotten_after_a_week(unsigned: WebhookRunner) -> None:
    unsigned.submitted()
    until(unsigned.events, what="the webhook")
    with unsigned.resources.database.transaction() as connection:
        assert webhooks.forget(connection, older_than=timedelta(days=7)) == 0
    unsigned.books.sql("UPDATE provider_events SET received_at = now() - interval '8 days'")
    with unsigned.resources.database.transaction() as connection:
        assert webhooks.forget(connection, older_than=timedelta(days=7)) == 1


def test_the_health_says_how_long_ago_the_tick_was(unsigned: WebhookRunner) -> None:
    said = unsigned.http.get("/health").json()
    assert (said["status"], said["tickAgeS"]) == ("ok", None)


def test_without_a_database_the_sender_shall_come_again(unsigned: WebhookRunner) -> None:
    away = Database("postgresql://nobody@127.0.0.1:9/nothing", pool_size=1)
    try:
        with bound("127.0.0.1", 0) as listener, served(replace(unsigned.resources, database=away), listener):
            base = f"http://127.0.0.1:{listener.getsockname()[1]}"
            for reply in (
                httpx2.post(f"{base}/hooks/ttapi/any", content=b"{}", trust_env=False),
                httpx2.get(f"{base}/health", trust_env=False),
            ):
                assert (reply.status_code, reply.headers["retry-after"]) == (503, "5")
    finally:
        away.close()
