"""From a submission to a job: its duration, its price, its end where that is settled at once, and what follows it."""

import random
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from sandbox.faults.armed import read_fault
from sandbox.jobs import Job
from sandbox.settings import Settings
from sandbox.shapes import size_of
from sandbox.wires.ttapi.submit import NotAccepted, job_from, wanted_action, wanted_imagine

SETTINGS = Settings(data=Path("unused"), latency_s=10.0)
NOW_S = 1000.0


def submitted(prompt: str = "a pig", *, what: str = "", settings: Settings = SETTINGS, **fields: object) -> Job:
    fields = {"prompt": prompt, "mode": "fast"} | fields
    fault = read_fault({"where": "submit", "what": what}, dice=random.Random(1)) if what else None
    wanted = wanted_imagine(fields, size_px=512)
    return job_from(wanted, fields, settings=settings, fault=fault, key_digest="k", now_s=NOW_S)


@pytest.mark.parametrize(("mode", "usual_s"), [("turbo", 5.0), ("fast", 10.0), ("relax", 30.0)])
def test_a_job_takes_about_the_usual_time_of_its_mode(mode: str, usual_s: float) -> None:
    times = [submitted(mode=mode) for _ in range(50)]
    took = [job.due_at_s - NOW_S for job in times]
    assert all(0.7 * usual_s <= each <= 1.4 * usual_s for each in took)
    assert len(set(took)) > 10
    assert all(NOW_S < job.starts_at_s < job.due_at_s for job in times)


def test_a_job_slower_than_its_timeout_fails_then() -> None:
    job = submitted(settings=replace(SETTINGS, latency_s=100_000.0), timeout=450)
    assert (job.due_at_s, job.message, job.illegal) == (NOW_S + 450, "Job Timeout", False)


def test_an_illegal_prompt_and_an_ordered_failure_are_settled_at_once() -> None:
    assert submitted("a pig --ar16:9").illegal
    ordered = submitted(what="failed_body:[Internal error]")
    assert (ordered.message, ordered.illegal) == ("[Internal error]", False)
    assert submitted(what="failed_body:[Image denied]").illegal


def test_the_price_is_a_setting() -> None:
    assert submitted(settings=replace(SETTINGS, price_usd=Decimal("0.4"))).charged_micros == 400_000


def test_the_seed_of_the_prompt_wins_over_the_job_s_own() -> None:
    assert submitted("a pig --seed 12").plan["seed"] == 12
    assert submitted().plan["seed"] != submitted().plan["seed"]


@pytest.mark.parametrize("aspect", [(1, 1), (16, 9), (2, 3), (1, 4)])
def test_every_shape_has_the_area_of_the_square(aspect: tuple[int, int]) -> None:
    width, height = size_of(aspect, 512)
    assert width * height == pytest.approx(512 * 512, rel=0.04)
    assert width / height == pytest.approx(aspect[0] / aspect[1], rel=0.04)
    assert width % 8 == height % 8 == 0


def test_an_action_follows_a_success_alone() -> None:
    running = submitted("a pig --seed 12")
    with pytest.raises(NotAccepted):
        wanted_action({"action": "upsample1"}, running)
    parent = replace(running, state="succeeded", finished_at_s=NOW_S)
    single = wanted_action({"action": "upsample3"}, parent)
    assert (single.plan["tiles"], single.plan["size"], single.plan["seed"]) == ([2], (1024, 1024), 12)
    anew = wanted_action({"action": "variation3"}, parent)
    assert (anew.plan["tiles"], anew.parent_id) == ([6, 10, 14, 18], parent.job_id)
    assert anew.plan["ancestry"] == [(12, 2)]
    assert anew.plan["seed"] != 12
    fresh = wanted_action({"action": "reroll"}, parent)
    assert (fresh.plan["tiles"], fresh.plan["ancestry"]) == ([0, 1, 2, 3], [])
