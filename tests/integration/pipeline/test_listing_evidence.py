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
from tests.support.replicate_runner import FLUX, NANO, ReplicateRunner
from tests.support.steps import StepRunner, runner_of


@pytest.fixture
def runner(database: Database, sandbox_url: str, sent: Sent, home: Path) -> Iterator[StepRunner]:
    with runner_of(database, url=sandbox_url, sent=sent, home=home) as opened:
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


def _listed(runner: StepRunner, page: Callable[[ListedPage], ListedPage]) -> StepRunner:
    lane: Any = _Listed(runner.resources.lanes["sandbox"], page)
    return replace(runner, resources=replace(runner.resources, lanes={"sandbox": lane}))


def _lost(runner: StepRunner, prompt: str = "a lost pig", fault: str = "drop_after", **order: Any) -> AttemptId:
    runner.caller.arm({"where": "submit", "what": fault, "count": 1, "match": "pig"})
    attempt_id = runner.admitted(prompt, name=prompt, **order)
    runner.submit(attempt_id)
    assert runner.books.attempt(attempt_id).state == "in_doubt"
    return attempt_id


def _rounds(runner: StepRunner, count: int = 3) -> int:
    return sum(by_person.settle(runner.resources, "sandbox") for _ in range(count))


def _why(runner: StepRunner | ReplicateRunner) -> str:
    (doubt,) = by_person.list_doubts(runner.resources, user_id=USER)
    return doubt.unsettled_because or ""


def _lost_create(replicate_runner: ReplicateRunner, prompt: str = "a lost pig", model: str = NANO) -> AttemptId:
    replicate_runner.arm("submit", "drop_after")
    (attempt_id,) = replicate_runner.submitted(prompt, model=model)
    assert replicate_runner.states([attempt_id]) == ["in_doubt"]
    return attempt_id


def test_a_list_that_lacks_a_job_of_our_own_proves_nothing(replicate_runner: ReplicateRunner) -> None:
    replicate_runner.arm("submit", "stuck")
    (known,) = replicate_runner.submitted("a known pig")
    lost = _lost_create(replicate_runner)
    replicate_runner.arm("list", "hidden", count=3)
    assert [replicate_runner.settle() for _ in range(3)] == [0, 0, 0]
    assert replicate_runner.states([lost]) == ["in_doubt"]
    job = replicate_runner.books.attempt(known).job_id
    assert (
        _why(replicate_runner) == f"the list of lane 'replicate' lacks job {job}, which it accepted: it proves nothing"
    )
    assert replicate_runner.books.attempt(lost).absent_since is None
    replicate_runner.clear()
    assert replicate_runner.settle() == 1
    assert replicate_runner.last_word(lost).state == "collecting"


def test_the_lane_says_which_job_its_list_lacks(runner: StepRunner) -> None:
    known = runner.generating("a known pig")
    _lost(runner)
    runner.caller.arm({"where": "list", "what": "hidden"})
    assert _rounds(runner) == 0
    assert f"lacks job {runner.books.attempt(known).job_id}" in runner.lane().last_error


def test_a_list_may_lag_by_the_time_between_two_listings(runner: StepRunner) -> None:
    runner.generating("a known pig")
    lost = _lost(runner)
    runner.caller.arm({"where": "list", "what": "hidden"})
    apart = replace(runner.resources.timing, listings_apart=timedelta(hours=1))
    assert by_person.settle(replace(runner.resources, timing=apart), "sandbox") == 0
    assert runner.books.attempt(lost).absent_since is not None, "absent once, which proves nothing yet"
    assert _rounds(runner) == 0
    assert runner.books.attempt(lost).absent_since is None


def test_the_list_of_another_account_proves_nothing(runner: StepRunner) -> None:
    runner.collect(runner.collecting("a pig that was made before"))
    lost = _lost(runner)
    stranger = _listed(runner, lambda page: replace(page, jobs=[], next_page=None))
    assert _rounds(stranger) == 0
    assert "lacks job" in _why(runner)
    assert _rounds(runner) == 1
    assert runner.books.attempt(lost).state == "generating"


def test_a_job_that_the_service_has_forgotten_is_still_on_its_list(replicate_runner: ReplicateRunner) -> None:
    replicate_runner.submitted("a known pig")
    replicate_runner.arm("submit", "drop_before")
    (lost,) = replicate_runner.submitted("a pig nobody heard of")
    replicate_runner.arm("list", "data_removed", count=None)
    assert (replicate_runner.settle(), replicate_runner.settle()) == (0, 1)
    assert replicate_runner.books.attempt(lost).hold_state == "released"


def test_a_list_that_tells_our_own_job_otherwise_proves_nothing(runner: StepRunner) -> None:
    known = runner.generating("a known pig")
    lost = _lost(runner, fault="drop_before")
    wrong = _listed(runner, _each(lambda job: replace(job, prompt="something else --seed 1")))
    assert _rounds(wrong) == 0
    assert f"tells job {runner.books.attempt(known).job_id} otherwise" in _why(runner)
    assert _rounds(runner) == 1
    assert runner.books.attempt(lost).hold_state == "released"


def test_a_list_of_a_clock_five_minutes_behind_proves_nothing(replicate_runner: ReplicateRunner) -> None:
    replicate_runner.arm("submit", "drop_before")
    (lost,) = replicate_runner.submitted("a pig nobody heard of")
    replicate_runner.arm("list", "slow_clock", count=3)
    assert [replicate_runner.settle() for _ in range(3)] == [0, 0, 0]
    assert "the clock of lane 'replicate' is" in _why(replicate_runner)
    assert "s behind ours" in _why(replicate_runner)
    assert (replicate_runner.settle(), replicate_runner.settle()) == (0, 1)
    assert replicate_runner.books.attempt(lost).hold_state == "released"


def test_a_job_that_seems_five_minutes_too_old_is_not_submitted_again(replicate_runner: ReplicateRunner) -> None:
    lost = _lost_create(replicate_runner)
    # Its Date is right, and the times of its jobs are not: as where a proxy answers for the service.
    lane: Any = _Listed(
        replicate_runner.resources.lanes["replicate"],
        _each(lambda job: replace(job, created_at=(job.created_at or 0) - 300)),
    )
    behind = replace(replicate_runner, resources=replace(replicate_runner.resources, lanes={"replicate": lane}))
    assert [behind.settle() for _ in range(3)] == [0, 0, 0]
    assert "belongs to no attempt and may be this one's" in _why(replicate_runner)
    assert replicate_runner.settle() == 1
    assert replicate_runner.states([lost]) == ["generating"]


@pytest.mark.parametrize("model", [NANO, FLUX])
def test_a_request_that_the_list_tells_in_other_words_is_not_submitted_again(
    replicate_runner: ReplicateRunner, model: str
) -> None:
    lost = _lost_create(replicate_runner, model=model)
    replicate_runner.arm("list", "respelt", count=3)
    assert [replicate_runner.settle() for _ in range(3)] == [0, 0, 0]
    assert replicate_runner.states([lost]) == ["in_doubt"]
    assert "belongs to no attempt and may be this one's" in _why(replicate_runner)
    assert replicate_runner.sent.take("submit") == []
    assert replicate_runner.settle() == 1


def test_a_whole_number_is_the_same_however_the_list_writes_it(replicate_runner: ReplicateRunner) -> None:
    replicate_runner.arm("submit", "drop_after")
    (lost,) = replicate_runner.submitted("a lost pig", model="black-forest-labs/flux-2-flex", guidance="3")
    assert '"guidance":3,' in replicate_runner.books.attempt(lost).sent_prompt
    assert replicate_runner.settle() == 1


def test_a_prompt_that_ttapi_rewrites_is_known_by_our_own_seed(runner: StepRunner) -> None:
    lost = _lost(runner)
    runner.caller.arm({"where": "list", "what": "respelt"})
    assert _rounds(runner, 1) == 1
    runner.until_made(lost)
    assert len(runner.charged()) == 1


def test_a_seed_of_a_persons_own_adopts_no_text_but_ours(runner: StepRunner) -> None:
    lost = _lost(runner, "a lost pig --seed 7")
    runner.caller.arm({"where": "list", "what": "respelt"})
    assert _rounds(runner) == 0
    assert "may be this one's" in _why(runner)
    runner.caller.clear()
    assert _rounds(runner) == 1
    assert runner.books.attempt(lost).state == "generating"


def test_a_job_of_ttapis_whose_prompt_the_list_leaves_out_may_be_ours(runner: StepRunner) -> None:
    lost = _lost(runner)
    silent = _listed(runner, _each(lambda job: replace(job, prompt=None)))
    assert _rounds(silent) == 0
    assert runner.books.attempt(lost).state == "in_doubt"


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


def _busy(runner: StepRunner, **list_of: Any) -> tuple[StepRunner, _Busy]:
    lane = _Busy(runner.resources.lanes["sandbox"], **list_of)
    lanes: Any = {"sandbox": lane}
    return replace(runner, resources=replace(runner.resources, lanes=lanes)), lane


def test_what_was_settled_as_lost_hours_ago_holds_up_no_doubt(
    runner: StepRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline.doubts.job_listing, "_MOST_PAGES", 50)
    busy, _ = _busy(runner, stretch=timedelta(minutes=1))
    old = _lost(busy, "an old pig", fault="drop_before")
    assert _rounds(busy) == 1
    runner.books.sql(
        "UPDATE attempts SET intent_at = intent_at - interval '3 h', finished_at = finished_at - interval '3 h',"
        " late_look_at = created_at"
    )
    busy.caller.arm({"where": "submit", "what": "drop_before", "count": 1, "match": "pig"})
    (new,) = busy.sent.take("submit")
    busy.submit(new)
    assert runner.books.attempt(new).state == "in_doubt"
    assert _rounds(busy) == 1
    assert runner.books.attempt(new).state == "finished"
    row = runner.books.attempt(old)
    assert row.late_look_at > row.created_at, "it is looked for again, and later"


def test_a_list_of_old_jobs_without_zones_is_read_no_further_than_needed(runner: StepRunner) -> None:
    busy, lane = _busy(runner, stretch=timedelta(hours=1), zone=False)
    lost = _lost(busy, fault="drop_before")
    assert _rounds(busy) == 1
    assert runner.books.attempt(lost).state == "finished"
    assert max(lane.read) == 13, "at worst the service writes the time of the westernmost zone"


def test_a_list_that_runs_the_other_way_round_is_not_read_to_its_end_by_its_first_page(
    runner: StepRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline.doubts.job_listing, "_MOST_PAGES", 5)
    busy, lane = _busy(runner, stretch=timedelta(hours=1), backwards=True)
    lost = _lost(busy, fault="drop_before")
    assert _rounds(busy) == 0
    assert max(lane.read) == 4
    assert runner.books.attempt(lost).state == "in_doubt"


def test_a_list_that_cannot_be_read_back_far_enough_says_so(
    runner: StepRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline.doubts.job_listing, "_MOST_PAGES", 5)
    busy, _ = _busy(runner, stretch=timedelta(seconds=1), zone=False)
    lost = _lost(busy, fault="drop_before")
    assert _rounds(busy) == 0
    assert runner.books.attempt(lost).state == "in_doubt"
    assert "could not be read back to when this was sent" in _why(runner)
    assert "could not be read back" in runner.lane().last_error


def test_the_doctor_tells_whose_clock_is_off(runner: StepRunner) -> None:
    agreed = doctor_services.clocks(runner.resources)
    assert (agreed.health, "sandbox" in agreed.found) == (Health.OK, True)
    lane: Any = _Late(runner.resources.lanes["sandbox"])
    wrong = doctor_services.clocks(replace(runner.resources, lanes={"sandbox": lane}))
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
