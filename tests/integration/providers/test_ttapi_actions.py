"""TTAPI's actions and its prompt check: our lane and the sandbox speak to each other."""

import io
from collections.abc import Iterator
from statistics import mean

import pytest
from PIL import Image

from domain.errors import JobFailed, MaybeSent, NotSent, RequestRefused
from providers.contract import Accepted, Action, Ask, Made
from providers.lane import HttpLane
from providers.registry import open_lane
from sandbox.drawing.characters import LULU, Likeness
from sandbox.drawing.picture import pick_likeness
from sandbox.process import running
from tests.support.sandbox_client import Caller, until
from tests.support.steps import EXAMPLE

PROMPT = "a pink pig in a garden"
REFERENCE = EXAMPLE.read_bytes()


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("further"), latency_s=0.02, size_px=64) as url:
        yield url


@pytest.fixture
def caller(sandbox: str) -> Iterator[Caller]:
    opened = Caller(sandbox)
    yield opened
    opened.clear()
    opened.close()


@pytest.fixture
def lane(sandbox: str, caller: Caller) -> Iterator[HttpLane]:
    with open_lane("sandbox", "sandbox", base_url=sandbox, key=caller.key) as opened:
        yield opened


def ask(action: Action | None = None) -> Ask:
    settings = {"mode": "turbo", "ar": "3:2"}
    return Ask(attempt_id="a", token="t", model="midjourney", prompt=PROMPT, settings=settings, action=action)


def submitted(lane: HttpLane, asked: Ask) -> str:
    taken = lane.submit(asked)
    assert isinstance(taken, Accepted)
    return taken.job_id


def made(lane: HttpLane, job_id: str) -> Made:
    def look() -> Made | None:
        seen = lane.poll(job_id)
        return seen if isinstance(seen, Made) else None

    return until(look, what=f"the end of job {job_id}")


def follow(lane: HttpLane, job_id: str, name: str, position: int = 0) -> str:
    parent = Action(job_id=job_id, name=name, position=position, parent_text=lane.prompt_text(ask()))
    return submitted(lane, ask(parent))


def sizes(lane: HttpLane, job: Made) -> list[tuple[int, int]]:
    return [Image.open(io.BytesIO(lane.fetch_picture(url))).size for url in job.picture_urls]


def test_a_variation_is_four_more_pictures_and_a_second_charge(lane: HttpLane, caller: Caller) -> None:
    parent_id = submitted(lane, ask())
    parent = made(lane, parent_id)
    child_id = follow(lane, parent_id, "variation3", 2)
    child = made(lane, child_id)
    assert child_id != parent_id
    assert (child.detail["action"], child.detail["aspect"]) == ("variation3", [3, 2])
    assert sizes(lane, child) == sizes(lane, parent)
    drawn = {lane.fetch_picture(url) for url in (*parent.picture_urls, *child.picture_urls)}
    assert len(drawn) == 8
    assert [line["charged_usd"] for line in caller.bill()] == ["0.02", "0.02"]


def test_an_upsample_is_the_very_picture_and_larger(lane: HttpLane) -> None:
    parent_id = submitted(lane, ask())
    (width, height), *_ = sizes(lane, made(lane, parent_id))
    large_id = follow(lane, follow_done(lane, parent_id, "variation2"), "upsample4", 3)
    large = made(lane, large_id)
    assert sizes(lane, large) == [(2 * width, 2 * height)]
    assert large.grid_url is None
    assert "upscale_subtle" in large.detail["components"]
    larger = made(lane, follow(lane, large_id, "upscale_subtle"))
    assert sizes(lane, larger) == [(4 * width, 4 * height)]


def follow_done(lane: HttpLane, job_id: str, name: str) -> str:
    child_id = follow(lane, job_id, name)
    made(lane, child_id)
    return child_id


@pytest.mark.parametrize("name", ["reroll", "variation1"])
def test_every_grid_offers_its_own_actions(lane: HttpLane, name: str) -> None:
    parent_id = submitted(lane, ask())
    made(lane, parent_id)
    child = made(lane, follow(lane, parent_id, name))
    assert len(child.picture_urls) == 4
    assert "variation4" in child.detail["components"]


def test_an_action_that_is_not_offered_is_refused_and_free(lane: HttpLane, caller: Caller) -> None:
    parent_id = submitted(lane, ask())
    made(lane, parent_id)
    with pytest.raises(RequestRefused):
        follow(lane, parent_id, "zoom_out_2")
    with pytest.raises(RequestRefused):
        follow(lane, "nobody", "upsample1")
    assert len(caller.bill()) == 1


def test_a_lost_reply_to_an_action_is_in_doubt_and_its_job_is_on_the_list(lane: HttpLane, caller: Caller) -> None:
    parent_id = submitted(lane, ask())
    made(lane, parent_id)
    asked = ask(Action(job_id=parent_id, name="variation1", position=0, parent_text=lane.prompt_text(ask())))
    caller.arm({"where": "submit", "what": "drop_after"})
    with pytest.raises(MaybeSent):
        lane.submit(asked)
    jobs = []
    for part in lane.list_parts:
        page = lane.listed_jobs(part=part)
        assert page is not None
        jobs += page.jobs
    found = {job.job_id for job in jobs if job.prompt == lane.prompt_text(asked)}
    (lost,) = {line["job_id"] for line in caller.bill()} - {parent_id}
    assert found == {lost}


def test_an_action_that_never_left_is_free(lane: HttpLane, caller: Caller) -> None:
    parent_id = submitted(lane, ask())
    made(lane, parent_id)
    with (
        open_lane("sandbox", "sandbox", base_url="http://127.0.0.1:1", key=caller.key) as away,
        pytest.raises(NotSent),
    ):
        follow(away, parent_id, "reroll")


# --- The prompt check -----------------------------------------------------------------------------------------------


def test_the_service_says_beforehand_what_it_would_refuse(lane: HttpLane, caller: Caller) -> None:
    assert lane.checks_prompts
    assert lane.objection("a pink pig --v 7") is None
    assert lane.objection("a nude pig --v 7") == "banned prompt words: nude"
    assert caller.bill() == []


# --- What a variation looks like ------------------------------------------------------------------------------------


def likeness(one: Likeness) -> float:
    features = ("species", "ears", "eyes", "pattern", "accessory")
    colours = ("body", "belly", "cheek", "marking", "trim")
    same = mean(float(getattr(one, name) == getattr(LULU, name)) for name in features)
    far = mean(
        sum(abs(a - b) for a, b in zip(getattr(one, name), getattr(LULU, name), strict=True)) / 765 for name in colours
    )
    return (same + 1 - far) / 2


@pytest.mark.parametrize("weight", [0.5, 0.75, 1.0])
def test_a_variation_of_the_best_picture_is_on_average_more_like_the_reference(weight: float) -> None:
    def drawn(prompt: str, seed: int, at: int, *ancestry: tuple[int, int]) -> float:
        one = pick_likeness(prompt, references=[LULU], weight=weight, seed=seed, variation=at, ancestry=ancestry)
        return likeness(one)

    fresh, varied = [], []
    for seed in range(200):
        prompt = f"a pig in scene {seed}"
        grid = [drawn(prompt, seed, at) for at in range(4)]
        best = grid.index(max(grid))
        fresh += [drawn(prompt, seed + 1000, at) for at in range(4)]
        varied += [drawn(prompt, seed + 2000, best + 4 * at, (seed, best)) for at in (1, 2, 3, 4)]
    assert mean(fresh) < mean(varied) < 1.0


def test_a_job_that_fails_as_an_action_fails_like_an_imagine(lane: HttpLane, caller: Caller) -> None:
    parent_id = submitted(lane, ask())
    made(lane, parent_id)
    caller.arm({"where": "submit", "what": "failed_body:[Internal error]"})
    child_id = follow(lane, parent_id, "reroll")

    def look() -> JobFailed | None:
        try:
            lane.poll(child_id)
        except JobFailed as failure:
            return failure
        return None

    assert until(look, what="the failure").charged_usd is None
