"""A whole lane against the sandbox's real server: the wire's two ends, each written from the same source."""

import uuid
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import httpx2
import pytest

from domain.errors import (
    ContentRefused,
    JobFailed,
    MaybeSent,
    NotAPicture,
    OutOfMoney,
    PictureLost,
    ProviderDown,
    ProviderError,
    QueueFull,
    RateLimited,
    ReplyUnreadable,
    RequestRefused,
)
from providers.contract import Ask, Lane, Made, Running
from providers.lane import HttpLane
from providers.listed import ListedJob
from providers.registry import open_lane
from providers.seeds import seed_of
from sandbox.process import running
from tests.support.sandbox_client import until

PICTURE_BYTES = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("sandbox"), size_px=64) as url:
        yield url


@pytest.fixture
def key() -> str:
    """Nobody else's, so that tests can share one sandbox."""
    return f"key-{uuid.uuid4()}"


@pytest.fixture
def lane(sandbox: str, key: str) -> Iterator[HttpLane]:
    httpx2.delete(f"{sandbox}/_sandbox/faults", trust_env=False)
    with open_lane("sandbox", "sandbox", base_url=sandbox, key=key) as opened:
        yield opened
    httpx2.delete(f"{sandbox}/_sandbox/faults", trust_env=False)


@pytest.fixture
def bill(sandbox: str, lane: HttpLane) -> Any:
    """How many jobs of this test's prompts the sandbox has on its bill."""

    def count(prompt: str) -> int:
        jobs = httpx2.get(f"{sandbox}/_sandbox/bill", trust_env=False).json()["jobs"]
        return sum(job["prompt"].startswith(prompt) for job in jobs)

    return count


def arm(sandbox: str, where: str, what: str, **more: object) -> None:
    fault = {"where": where, "what": what, "count": 1} | more
    httpx2.post(f"{sandbox}/_sandbox/faults", json={"faults": [fault]}, trust_env=False).raise_for_status()


def ask(prompt: str | None = None, **settings: Any) -> Ask:
    attempt = str(uuid.uuid4())
    return Ask(
        attempt_id=attempt,
        token=attempt,
        model="midjourney",
        prompt=prompt or f"a pink pig {attempt}",
        settings={"mode": "fast", **settings},
    )


def made(lane: HttpLane, job_id: str) -> Made:
    def look() -> Made | None:
        progress = lane.poll(job_id)
        return progress if isinstance(progress, Made) else None

    return until(look, what="the pictures of the job")


def listed(lane: HttpLane) -> list[ListedJob]:
    """What stands on the first page of every part."""
    pages = [lane.listed_jobs(part=part) for part in lane.list_parts]
    return [job for page in pages if page is not None for job in page.jobs]


def test_a_lane_is_a_lane(lane: HttpLane) -> None:
    contract: Lane = lane
    assert contract.provider == "sandbox"
    assert contract.submit_total_s == 30.0


def test_a_prompt_becomes_four_pictures_and_a_charge(lane: HttpLane) -> None:
    asked = ask(ar="3:2")
    job_id = lane.submit(asked).job_id
    assert isinstance(lane.poll(job_id), Running | Made)
    done = made(lane, job_id)
    assert len(done.picture_urls) == 4
    assert done.charged_usd == Decimal("0.02")
    assert done.detail["prompt"] == lane.prompt_text(asked)
    pictures = [lane.fetch_picture(url) for url in done.picture_urls]
    assert all(picture.startswith(PICTURE_BYTES) for picture in pictures)
    assert len(set(pictures)) == 4
    assert done.grid_url is not None
    assert lane.fetch_picture(done.grid_url).startswith(PICTURE_BYTES)


def test_an_uploaded_reference_has_an_address_that_the_service_reads(lane: HttpLane) -> None:
    picture = lane.fetch_picture(made(lane, lane.submit(ask()).job_id).picture_urls[0])
    url = lane.upload_reference(picture, "image/png")
    assert url is not None
    assert lane.upload_reference(picture, "image/png") == url
    assert lane.fetch_picture(url) == picture
    asked = ask()
    with_reference = Ask(
        attempt_id=asked.attempt_id,
        token=asked.token,
        model=asked.model,
        prompt=asked.prompt,
        settings=asked.settings,
        reference_urls=[url, url],
    )
    done = made(lane, lane.submit(with_reference).job_id)
    assert f"--v 6.1 --seed {seed_of(asked.attempt_id)} --cref {url}" in done.detail["prompt"]


def test_a_real_lane_offers_no_place_for_files(key: str) -> None:
    with open_lane("ttapi", "ttapi", key=key) as lane:
        assert lane.upload_reference(PICTURE_BYTES, "image/png") is None


def test_a_listing_shows_a_job_in_one_of_its_parts(lane: HttpLane) -> None:
    asked = ask()
    job_id = lane.submit(asked).job_id
    assert (job_id, lane.prompt_text(asked)) in {(job.job_id, job.prompt) for job in listed(lane)}
    made(lane, job_id)
    page = lane.listed_jobs(part="SUCCESS")
    assert page is not None
    assert [job.job_id for job in page.jobs] == [job_id]
    behind = lane.listed_jobs(part="SUCCESS", page=page.next_page)
    assert behind is not None
    assert (behind.jobs, behind.next_page) == ([], None)


def test_the_account_tells_its_queue(lane: HttpLane) -> None:
    account = lane.account()
    assert account is not None
    assert account.most_jobs == 10
    assert account.balance_usd is not None


# --- Faults on the wire ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["drop_before", "status:500", "status:503", "status:409", "status:408", "html"])
def test_an_unclear_answer_leaves_a_doubt_though_nothing_was_accepted(
    sandbox: str, lane: HttpLane, bill: Any, fault: str
) -> None:
    asked = ask()
    arm(sandbox, "submit", fault)
    with pytest.raises(MaybeSent):
        lane.submit(asked)
    assert bill(asked.prompt) == 0


@pytest.mark.parametrize("fault", ["drop_after", "truncated", "status:500_after", "html_after"])
def test_an_unclear_answer_leaves_a_doubt_and_one_job_on_the_bill(
    sandbox: str, lane: HttpLane, bill: Any, fault: str
) -> None:
    asked = ask()
    arm(sandbox, "submit", fault)
    with pytest.raises(MaybeSent):
        lane.submit(asked)
    assert bill(asked.prompt) == 1
    assert lane.prompt_text(asked) in {job.prompt for job in listed(lane)}


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("status:400", RequestRefused),
        ("status:402", OutOfMoney),
        ("status:429", RateLimited),
        ("status:499", QueueFull),
        ("refused:[Banned prompt detected] x", ContentRefused),
        ("refused:[Invalid parameter] x", RequestRefused),
    ],
)
def test_a_refusal_is_certain(sandbox: str, lane: HttpLane, bill: Any, fault: str, kind: type[ProviderError]) -> None:
    asked = ask()
    arm(sandbox, "submit", fault)
    with pytest.raises(kind):
        lane.submit(asked)
    assert bill(asked.prompt) == 0


def test_the_old_shape_is_understood_from_end_to_end(sandbox: str, lane: HttpLane) -> None:
    arm(sandbox, "submit", "old_shape")
    arm(sandbox, "fetch", "old_shape", count=None, rate=1.0)
    done = made(lane, lane.submit(ask()).job_id)
    assert list(done.picture_urls) == []
    assert done.grid_url is not None
    assert done.charged_usd == Decimal("0.02")


def test_a_failed_job_is_the_service_s_last_word(sandbox: str, lane: HttpLane) -> None:
    arm(sandbox, "submit", "failed_body:[Internal server error]")
    job_id = lane.submit(ask()).job_id

    def look() -> ProviderError | None:
        try:
            lane.poll(job_id)
        except ProviderError as failure:
            return failure
        return None

    assert type(until(look, what="the failure of the job")) is JobFailed


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


@pytest.mark.parametrize(("fault", "kind"), [("expired", PictureLost), ("page", NotAPicture), ("fake", NotAPicture)])
def test_a_spoilt_picture_is_told_from_a_whole_one(
    sandbox: str, lane: HttpLane, fault: str, kind: type[Exception]
) -> None:
    url = made(lane, lane.submit(ask()).job_id).picture_urls[0]
    arm(sandbox, "picture", fault, count=3)
    with pytest.raises(kind):
        lane.fetch_picture(url)
    assert lane.fetch_picture(url).startswith(PICTURE_BYTES)


def test_a_connection_lost_while_a_picture_comes_is_made_good(sandbox: str, lane: HttpLane) -> None:
    url = made(lane, lane.submit(ask()).job_id).picture_urls[0]
    arm(sandbox, "picture", "truncated", count=2)
    assert lane.fetch_picture(url).startswith(PICTURE_BYTES)


def test_a_full_queue_is_told_and_costs_nothing(sandbox: str, lane: HttpLane) -> None:
    arm(sandbox, "submit", "stuck", count=10)
    prompt = f"a queue of pigs {uuid.uuid4()}"
    for _ in range(10):
        lane.submit(ask(prompt))
    with pytest.raises(QueueFull):
        lane.submit(ask(prompt))
