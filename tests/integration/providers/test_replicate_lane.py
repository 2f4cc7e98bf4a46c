"""A lane to Replicate against the sandbox's real server: the wire's two ends, each written from the same source."""

import uuid
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest

from domain.errors import (
    ContentRefused,
    JobFailed,
    JobTimedOut,
    KeyRefused,
    MaybeSent,
    OutOfMoney,
    PictureLost,
    ProviderDown,
    ProviderError,
    RateLimited,
    ReplyUnreadable,
    RequestRefused,
)
from providers.catalogue import load
from providers.contract import Ask, Lane, Made, Running
from providers.lane import HttpLane
from providers.listed import ListedJob
from providers.prices import price
from providers.registry import open_lane
from providers.replicate.inputs import TABLE
from sandbox.bill import digest_of
from sandbox.process import running
from sandbox.wires.replicate.models import MODELS
from tests.support.sandbox_client import until

NANO = "google/nano-banana-pro"
#: The day of the facts: prices and lives of models change after it.
TODAY = date(2026, 11, 21)
REFERENCE = Path(__file__).parents[3] / "examples" / "lulu-pig" / "references" / "lulu_pig_ref_1.png"
LIVE = sorted(name for name, model in MODELS.items() if not model.gone)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("sandbox"), latency_s=0.02, size_px=64, list_page=2) as url:
        yield url


@pytest.fixture
def key() -> str:
    """Nobody else's, so that tests can share one sandbox."""
    return f"r8_{uuid.uuid4().hex}"


@pytest.fixture
def lane(sandbox: str, key: str) -> Iterator[HttpLane]:
    httpx2.delete(f"{sandbox}/_sandbox/faults", trust_env=False)
    with open_lane("replicate", "replicate", base_url=f"{sandbox}/replicate", key=key, stand_in=sandbox) as opened:
        yield opened
    httpx2.delete(f"{sandbox}/_sandbox/faults", trust_env=False)


@pytest.fixture
def bill(sandbox: str, key: str) -> Any:
    """What this test's account is charged, job by job."""

    def lines() -> list[Decimal]:
        jobs = httpx2.get(f"{sandbox}/_sandbox/bill", trust_env=False).json()["jobs"]
        return [Decimal(job["charged_usd"]) for job in jobs if job["key_digest"] == digest_of(key)]

    return lines


def arm(sandbox: str, where: str, what: str, **more: object) -> None:
    fault = {"where": where, "what": what, "count": 1, "provider": "replicate"} | more
    httpx2.post(f"{sandbox}/_sandbox/faults", json={"faults": [fault]}, trust_env=False).raise_for_status()


def ask(model: str = NANO, **changes: Any) -> Ask:
    attempt = str(uuid.uuid4())
    return Ask(**{"attempt_id": attempt, "token": attempt, "model": model, "prompt": "a pink pig"} | changes)


def made(lane: HttpLane, job_id: str) -> Made:
    def look() -> Made | None:
        progress = lane.poll(job_id)
        return progress if isinstance(progress, Made) else None

    return until(look, what="the pictures of the job")


def failure(lane: HttpLane, job_id: str) -> ProviderError:
    def look() -> ProviderError | None:
        try:
            lane.poll(job_id)
        except ProviderError as found:
            return found
        return None

    return until(look, what="the failure of the job")


def listed(lane: HttpLane) -> list[ListedJob]:
    """The whole list, page after page."""
    jobs: list[ListedJob] = []
    page = lane.listed_jobs(part="predictions")
    while page is not None:
        jobs.extend(page.jobs)
        page = lane.listed_jobs(part="predictions", page=page.next_page) if page.next_page else None
    return jobs


def test_a_lane_is_a_lane(lane: HttpLane) -> None:
    contract: Lane = lane
    assert (contract.provider, contract.list_parts) == ("replicate", ("predictions",))


@pytest.mark.parametrize("model", LIVE)
def test_every_live_model_makes_a_picture_at_the_catalogue_s_price(lane: HttpLane, bill: Any, model: str) -> None:
    row = load().get(model)
    reference = lane.upload_reference(REFERENCE.read_bytes(), "image/png")
    assert reference is not None
    urls = [reference] if row.references is not None else []
    asked = ask(model, reference_urls=urls, settings={"ar": "1:1"})
    done = made(lane, lane.submit(asked).job_id)
    assert len(done.picture_urls) == 1
    assert len(lane.fetch_picture(done.picture_urls[0])) > 100
    assert lane.check_live(asked, on=TODAY) == []
    if row.prices:
        assert bill() == [price(row, {}, on=TODAY, references=[512 * 512] * len(urls)).usd]


def test_every_model_of_the_stand_in_has_its_table_and_takes_what_it_sends() -> None:
    assert set(MODELS) <= set(TABLE)
    for name, model in MODELS.items():
        row, inputs = load().get(name), TABLE[name]
        named = {inputs.aspect_ratio, inputs.size, inputs.output_format, inputs.quality, inputs.seed, inputs.count}
        sent = {*(("prompt",) if inputs.prompt else ()), *inputs.fixed, *inputs.own, *(one for one in named if one)}
        if row.references is not None:
            sent.add(row.references.style)
        assert sent <= set(model.inputs), name


def test_several_pictures_of_one_call_are_several_addresses(lane: HttpLane, bill: Any) -> None:
    done = made(lane, lane.submit(ask("openai/gpt-image-2", settings={"n": 3, "quality": "low"})).job_id)
    pictures = {lane.fetch_picture(url) for url in done.picture_urls}
    assert len(pictures) == len(done.picture_urls) == 3
    assert bill() == [Decimal("0.036")]


def test_pictures_inside_the_reply_are_the_same_as_those_outside(lane: HttpLane, sandbox: str) -> None:
    job_id = lane.submit(ask()).job_id
    outside = made(lane, job_id).picture_urls[0]
    arm(sandbox, "fetch", "data_output")
    inside = made(lane, job_id).picture_urls[0]
    assert inside.startswith("data:image/jpeg;base64,")
    assert lane.fetch_picture(inside) == lane.fetch_picture(outside)


def test_the_whole_list_shows_every_job_in_our_own_words(lane: HttpLane) -> None:
    asked = [ask(prompt=f"pig  número {number}\nin two lines") for number in range(5)]
    jobs = [lane.submit(one).job_id for one in asked]
    shown = listed(lane)
    assert [job.job_id for job in shown] == jobs[::-1]
    assert [job.prompt for job in shown] == [lane.prompt_text(one) for one in reversed(asked)]
    assert all(job.created_at is not None for job in shown)


def test_the_account_is_known_and_tells_nothing_more(lane: HttpLane) -> None:
    account = lane.account()
    assert account is not None
    assert (account.balance_usd, account.most_jobs) == (None, None)


# --- Faults on the wire ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["drop_before", "status:500", "status:409", "html"])
def test_an_unclear_answer_leaves_a_doubt_though_nothing_was_accepted(
    sandbox: str, lane: HttpLane, bill: Any, fault: str
) -> None:
    arm(sandbox, "submit", fault)
    with pytest.raises(MaybeSent):
        lane.submit(ask())
    assert (bill(), listed(lane)) == ([], [])


@pytest.mark.parametrize("fault", ["drop_after", "truncated", "status:503_after", "html_after"])
def test_an_unclear_answer_leaves_a_doubt_and_one_job_on_the_bill(
    sandbox: str, lane: HttpLane, bill: Any, fault: str
) -> None:
    asked = ask()
    arm(sandbox, "submit", fault)
    with pytest.raises(MaybeSent):
        lane.submit(asked)
    assert bill() == [Decimal("0.15")]
    assert [job.prompt for job in listed(lane)] == [lane.prompt_text(asked)]


@pytest.mark.parametrize(
    ("fault", "kind", "wait_s"),
    [
        ("status:400", RequestRefused, None),
        ("status:401", KeyRefused, None),
        ("status:402", OutOfMoney, None),
        ("status:404", RequestRefused, None),
        ("refused:input is wrong", RequestRefused, None),
        ("throttled:plain", RateLimited, 1),
        ("throttled:old", RateLimited, 1),
        ("throttled:low_credit", RateLimited, 1),
        ("throttled:no_payment", RateLimited, 1),
    ],
)
def test_a_refusal_is_certain(
    sandbox: str, lane: HttpLane, bill: Any, fault: str, kind: type[ProviderError], wait_s: float | None
) -> None:
    arm(sandbox, "submit", fault)
    with pytest.raises(kind) as caught:
        lane.submit(ask())
    assert (caught.value.retry_after_s, bill()) == (wait_s, [])


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("failed_body:An error occurred while processing your request (E001)", JobFailed),
        ("failed_body:Content was flagged by the safety system. Try different prompts or inputs.", ContentRefused),
        ("aborted", JobTimedOut),
    ],
)
def test_how_a_job_ends_is_the_service_s_last_word(
    sandbox: str, lane: HttpLane, bill: Any, fault: str, kind: type[ProviderError]
) -> None:
    arm(sandbox, "submit", fault)
    assert type(failure(lane, lane.submit(ask()).job_id)) is kind
    assert bill() == [Decimal(0)]


def test_a_job_that_is_cancelled_ends_charged_and_lost(sandbox: str, lane: HttpLane, bill: Any) -> None:
    arm(sandbox, "submit", "stuck")
    job_id = lane.submit(ask()).job_id
    until(lambda: lane.poll(job_id) == Running(percent=95) or None, what="a job that is stuck")
    assert lane.cancel(job_id)
    assert lane.cancel(job_id)
    done = made(lane, job_id)
    assert done.lost is not None
    assert bill() == [Decimal("0.15")]


def test_a_model_that_is_gone_is_refused_with_its_successor(sandbox: str, lane: HttpLane) -> None:
    found = failure(lane, lane.submit(ask("google/imagen-4-ultra")).job_id)
    assert isinstance(found, RequestRefused)
    assert "use 'google/nano-banana-pro'" in str(found)


@pytest.mark.parametrize(
    ("fault", "kind"), [("drop_before", ProviderDown), ("status:503", ProviderDown), ("html", ReplyUnreadable)]
)
def test_a_spoilt_poll_says_nothing_about_the_job(
    sandbox: str, lane: HttpLane, fault: str, kind: type[ProviderError]
) -> None:
    job_id = lane.submit(ask()).job_id
    arm(sandbox, "fetch", fault)
    with pytest.raises(kind):
        lane.poll(job_id)
    assert made(lane, job_id).picture_urls


def test_a_status_nobody_documents_is_a_job_at_work(sandbox: str, lane: HttpLane) -> None:
    job_id = lane.submit(ask()).job_id
    arm(sandbox, "fetch", "unknown_status")
    assert lane.poll(job_id) == Running()


def test_a_reference_that_cannot_be_read_fails_the_job(lane: HttpLane) -> None:
    gone = ask(reference_urls=["http://127.0.0.1:9/nothing.png"])
    assert type(failure(lane, lane.submit(gone).job_id)) is JobFailed


def test_an_hour_later_nothing_is_left(tmp_path_factory: pytest.TempPathFactory, key: str) -> None:
    with (
        running(tmp_path_factory.mktemp("forgetful"), latency_s=0.02, size_px=64, retention=0.1, key=key) as url,
        open_lane("replicate", "replicate", base_url=f"{url}/replicate", key=key, stand_in=url) as lane,
        open_lane("replicate", "replicate", base_url=f"{url}/replicate", key="r8_somebody_else") as stranger,
    ):
        job_id = lane.submit(ask()).job_id
        until(lambda: made(lane, job_id).lost, what="the end of the hour")
        with pytest.raises(PictureLost):
            lane.fetch_picture(f"{url}/pictures/{job_id}.jpg")
        assert [job.prompt for job in listed(lane)] == [None]
        for refused in (stranger.account, lambda: stranger.submit(ask()), lambda: stranger.poll(job_id)):
            with pytest.raises(KeyRefused):
                refused()
