"""What a service's list must show before a job that is not on it counts as never accepted."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import pipeline.doubts.job_listing
from cli.operations import doctor_services
from cli.operations.doctor_checks import Health
from db.session import Database
from domain.ids import AttemptId
from pipeline.doubts import by_person
from providers.contract import AccountInfo, Lane
from providers.listed import ListedJob, ListedPage
from tests.conftest import Sent
from tests.support.books import USER
from tests.support.replicate_desk import FLUX, NANO, Desk
from tests.support.steps import Bench, bench_of


@pytest.fixture
def desk(replicate_desk: Desk) -> Desk:
    return replicate_desk


@pytest.fixture
def bench(database: Database, sandbox_url: str, sent: Sent, home: Path) -> Iterator[Bench]:
    with bench_of(database, url=sandbox_url, sent=sent, home=home) as opened:
        quick = replace(opened.resources.timing, listings_apart=timedelta(0), in_the_air=timedelta(0))
        yield replace(opened, resources=replace(opened.resources, timing=quick))


@dataclass(slots=True)
class _Listed:
    """A lane with another list."""

    lane: Lane
    page: Callable[[ListedPage], ListedPage]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.lane, name)

    def listed_jobs(self, *, part: str, page: str | None = None) -> ListedPage | None:
        found = self.lane.listed_jobs(part=part, page=page)
        return None if found is None else self.page(found)


def _each(change: Callable[[ListedJob], ListedJob]) -> Callable[[ListedPage], ListedPage]:
    return lambda page: replace(page, jobs=[change(job) for job in page.jobs])


def _listed(bench: Bench, page: Callable[[ListedPage], ListedPage]) -> Bench:
    lane: Any = _Listed(bench.resources.lanes["sandbox"], page)
    return replace(bench, resources=replace(bench.resources, lanes={"sandbox": lane}))


def _lost(bench: Bench, prompt: str = "a lost pig", fault: str = "drop_after", **order: Any) -> AttemptId:
    bench.caller.arm({"where": "submit", "what": fault, "count": 1, "match": "pig"})
    attempt_id = bench.admitted(prompt, name=prompt, **order)
    bench.submit(attempt_id)
    assert bench.books.attempt(attempt_id).state == "in_doubt"
    return attempt_id


def _rounds(bench: Bench, count: int = 3) -> int:
    return sum(by_person.settle(bench.resources, "sandbox") for _ in range(count))


def _why(bench: Bench | Desk) -> str:
    (doubt,) = by_person.list_doubts(bench.resources, user_id=USER)
    return doubt.unsettled_because or ""


def _lost_create(desk: Desk, prompt: str = "a lost pig", model: str = NANO) -> AttemptId:
    desk.arm("submit", "drop_after")
    (attempt_id,) = desk.submitted(prompt, model=model)
    assert desk.states([attempt_id]) == ["in_doubt"]
    return attempt_id


def test_a_list_that_lacks_a_job_of_our_own_proves_nothing(desk: Desk) -> None:
    desk.arm("submit", "stuck")
    (known,) = desk.submitted("a known pig")
    lost = _lost_create(desk)
    desk.arm("list", "hidden", count=3)
    assert [desk.settle() for _ in range(3)] == [0, 0, 0]
    assert desk.states([lost]) == ["in_doubt"]
    job = desk.books.attempt(known).job_id
    assert _why(desk) == f"the list of lane 'replicate' lacks job {job}, which it accepted: it proves nothing"
    assert desk.books.attempt(lost).absent_since is None
    desk.clear()
    assert desk.settle() == 1
    assert desk.last_word(lost).state == "collecting"


def test_the_lane_says_which_job_its_list_lacks(bench: Bench) -> None:
    known = bench.generating("a known pig")
    _lost(bench)
    bench.caller.arm({"where": "list", "what": "hidden"})
    assert _rounds(bench) == 0
    assert f"lacks job {bench.books.attempt(known).job_id}" in bench.lane().last_error


def test_a_list_may_lag_by_the_time_between_two_listings(bench: Bench) -> None:
    bench.generating("a known pig")
    lost = _lost(bench)
    bench.caller.arm({"where": "list", "what": "hidden"})
    apart = replace(bench.resources.timing, listings_apart=timedelta(hours=1))
    assert by_person.settle(replace(bench.resources, timing=apart), "sandbox") == 0
    assert bench.books.attempt(lost).absent_since is not None, "absent once, which proves nothing yet"
    assert _rounds(bench) == 0
    assert bench.books.attempt(lost).absent_since is None


def test_the_list_of_another_account_proves_nothing(bench: Bench) -> None:
    bench.collect(bench.collecting("a pig that was made before"))
    lost = _lost(bench)
    stranger = _listed(bench, lambda page: replace(page, jobs=[], next_page=None))
    assert _rounds(stranger) == 0
    assert "lacks job" in _why(bench)
    assert _rounds(bench) == 1
    assert bench.books.attempt(lost).state == "generating"


def test_a_job_that_the_service_has_forgotten_is_still_on_its_list(desk: Desk) -> None:
    desk.submitted("a known pig")
    desk.arm("submit", "drop_before")
    (lost,) = desk.submitted("a pig nobody heard of")
    desk.arm("list", "data_removed", count=None)
    assert (desk.settle(), desk.settle()) == (0, 1)
    assert desk.books.attempt(lost).hold_state == "released"


def test_a_list_that_tells_our_own_job_otherwise_proves_nothing(bench: Bench) -> None:
    known = bench.generating("a known pig")
    lost = _lost(bench, fault="drop_before")
    wrong = _listed(bench, _each(lambda job: replace(job, prompt="something else --seed 1")))
    assert _rounds(wrong) == 0
    assert f"tells job {bench.books.attempt(known).job_id} otherwise" in _why(bench)
    assert _rounds(bench) == 1
    assert bench.books.attempt(lost).hold_state == "released"


def test_a_list_of_a_clock_five_minutes_behind_proves_nothing(desk: Desk) -> None:
    desk.arm("submit", "drop_before")
    (lost,) = desk.submitted("a pig nobody heard of")
    desk.arm("list", "slow_clock", count=3)
    assert [desk.settle() for _ in range(3)] == [0, 0, 0]
    assert "the clock of lane 'replicate' is" in _why(desk)
    assert "s behind ours" in _why(desk)
    assert (desk.settle(), desk.settle()) == (0, 1)
    assert desk.books.attempt(lost).hold_state == "released"


def test_a_job_that_seems_five_minutes_too_old_is_not_submitted_again(desk: Desk) -> None:
    lost = _lost_create(desk)
    # Its Date is right, and the times of its jobs are not: as where a proxy answers for the service.
    lane: Any = _Listed(
        desk.resources.lanes["replicate"], _each(lambda job: replace(job, created_at=(job.created_at or 0) - 300))
    )
    behind = replace(desk, resources=replace(desk.resources, lanes={"replicate": lane}))
    assert [behind.settle() for _ in range(3)] == [0, 0, 0]
    assert "belongs to no attempt and may be this one's" in _why(desk)
    assert desk.settle() == 1
    assert desk.states([lost]) == ["generating"]


@pytest.mark.parametrize("model", [NANO, FLUX])
def test_a_request_that_the_list_tells_in_other_words_is_not_submitted_again(desk: Desk, model: str) -> None:
    lost = _lost_create(desk, model=model)
    desk.arm("list", "respelt", count=3)
    assert [desk.settle() for _ in range(3)] == [0, 0, 0]
    assert desk.states([lost]) == ["in_doubt"]
    assert "belongs to no attempt and may be this one's" in _why(desk)
    assert desk.sent.take("submit") == []
    assert desk.settle() == 1


def test_a_whole_number_is_the_same_however_the_list_writes_it(desk: Desk) -> None:
    desk.arm("submit", "drop_after")
    (lost,) = desk.submitted("a lost pig", model="black-forest-labs/flux-2-flex", guidance="3")
    assert '"guidance":3,' in desk.books.attempt(lost).sent_prompt
    assert desk.settle() == 1


def test_a_prompt_that_ttapi_rewrites_is_known_by_our_own_seed(bench: Bench) -> None:
    lost = _lost(bench)
    bench.caller.arm({"where": "list", "what": "respelt"})
    assert _rounds(bench, 1) == 1
    bench.until_made(lost)
    assert len(bench.charged()) == 1


def test_a_seed_of_a_persons_own_adopts_no_text_but_ours(bench: Bench) -> None:
    lost = _lost(bench, "a lost pig --seed 7")
    bench.caller.arm({"where": "list", "what": "respelt"})
    assert _rounds(bench) == 0
    assert "may be this one's" in _why(bench)
    bench.caller.clear()
    assert _rounds(bench) == 1
    assert bench.books.attempt(lost).state == "generating"


def test_a_job_of_ttapis_whose_prompt_the_list_leaves_out_may_be_ours(bench: Bench) -> None:
    lost = _lost(bench)
    silent = _listed(bench, _each(lambda job: replace(job, prompt=None)))
    assert _rounds(silent) == 0
    assert bench.books.attempt(lost).state == "in_doubt"


@dataclass(slots=True)
class _Busy:
    """A lane whose list has a page for every stretch of time, two jobs of somebody else's on each, and no end."""

    lane: Lane
    stretch: timedelta
    zone: bool = True
    backwards: bool = False
    read: list[int] = field(default_factory=list)
    list_parts: tuple[str, ...] = ("all",)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.lane, name)

    def listed_jobs(self, *, part: str, page: str | None = None) -> ListedPage:
        number = int(page or "0")
        self.read.append(number)
        made_at = (datetime.now(UTC) - self.stretch * number).timestamp()
        jobs = [
            ListedJob(
                job_id=f"other-{number}-{second}",
                prompt="somebody else's --seed 12",
                created_at=made_at - second if self.zone else None,
                created_before=None if self.zone else made_at - second + 12 * 3600,
            )
            for second in (0, 1)
        ]
        return ListedPage(jobs=jobs[::-1] if self.backwards else jobs, next_page=str(number + 1))


def _busy(bench: Bench, **list_of: Any) -> tuple[Bench, _Busy]:
    lane = _Busy(bench.resources.lanes["sandbox"], **list_of)
    lanes: Any = {"sandbox": lane}
    return replace(bench, resources=replace(bench.resources, lanes=lanes)), lane


def test_what_was_settled_as_lost_hours_ago_holds_up_no_doubt(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline.doubts.job_listing, "_MOST_PAGES", 50)
    busy, _ = _busy(bench, stretch=timedelta(minutes=1))
    old = _lost(busy, "an old pig", fault="drop_before")
    assert _rounds(busy) == 1
    bench.books.sql(
        "UPDATE attempts SET intent_at = intent_at - interval '3 h', finished_at = finished_at - interval '3 h',"
        " late_look_at = created_at"
    )
    busy.caller.arm({"where": "submit", "what": "drop_before", "count": 1, "match": "pig"})
    (new,) = busy.sent.take("submit")
    busy.submit(new)
    assert bench.books.attempt(new).state == "in_doubt"
    assert _rounds(busy) == 1
    assert bench.books.attempt(new).state == "finished"
    row = bench.books.attempt(old)
    assert row.late_look_at > row.created_at, "it is looked for again, and later"


def test_a_list_of_old_jobs_without_zones_is_read_no_further_than_needed(bench: Bench) -> None:
    busy, lane = _busy(bench, stretch=timedelta(hours=1), zone=False)
    lost = _lost(busy, fault="drop_before")
    assert _rounds(busy) == 1
    assert bench.books.attempt(lost).state == "finished"
    assert max(lane.read) == 13, "at worst the service writes the time of the westernmost zone"


def test_a_list_that_runs_the_other_way_round_is_not_read_to_its_end_by_its_first_page(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline.doubts.job_listing, "_MOST_PAGES", 5)
    busy, lane = _busy(bench, stretch=timedelta(hours=1), backwards=True)
    lost = _lost(busy, fault="drop_before")
    assert _rounds(busy) == 0
    assert max(lane.read) == 4
    assert bench.books.attempt(lost).state == "in_doubt"


def test_a_list_that_cannot_be_read_back_far_enough_says_so(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline.doubts.job_listing, "_MOST_PAGES", 5)
    busy, _ = _busy(bench, stretch=timedelta(seconds=1), zone=False)
    lost = _lost(busy, fault="drop_before")
    assert _rounds(busy) == 0
    assert bench.books.attempt(lost).state == "in_doubt"
    assert "could not be read back to when this was sent" in _why(bench)
    assert "could not be read back" in bench.lane().last_error


def test_the_doctor_tells_whose_clock_is_off(bench: Bench) -> None:
    agreed = doctor_services.clocks(bench.resources)
    assert (agreed.health, "sandbox" in agreed.found) == (Health.OK, True)
    lane: Any = _Late(bench.resources.lanes["sandbox"])
    wrong = doctor_services.clocks(replace(bench.resources, lanes={"sandbox": lane}))
    assert (wrong.health, "sandbox is 3" in wrong.found, "behind ours" in wrong.found) == (Health.NOTE, True, True)


@dataclass(slots=True)
class _Late:
    """A lane of a service whose clock is five minutes behind."""

    lane: Lane

    def __getattr__(self, name: str) -> Any:
        return getattr(self.lane, name)

    def account(self) -> AccountInfo:
        said = self.lane.account()
        assert said is not None
        assert said.served_at is not None
        return replace(said, served_at=said.served_at - 310)
