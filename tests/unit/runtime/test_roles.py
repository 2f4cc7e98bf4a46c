"""Which workers an installation needs, and how each is started and stopped."""

from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from providers.registry import SERVICES, is_synchronous
from runtime.crew import module_of, role, roles
from runtime.lanes import lane_plans, open_lanes, synchronous_lanes
from runtime.resources import timing_of
from runtime.settings import Settings


def settings(**more: object) -> Settings:
    servers = {"database_url": SecretStr("postgresql://x"), "redis_url": SecretStr("redis://x"), "home": Path("home")}
    return Settings().model_copy(update={**servers, **more})


def test_only_openai_answers_with_the_result_itself() -> None:
    assert [name for name in sorted(SERVICES) if is_synchronous(name)] == ["openai"]


def test_a_worker_for_long_calls_is_started_only_where_there_are_such_calls() -> None:
    assert "io-sync" not in roles(settings())
    assert roles(settings(openai_api_key=SecretStr("one"))) == ["io", "io-sync", "gpu", "beat"]


def test_webhooks_are_taken_where_an_address_is_public() -> None:
    assert "api" not in roles(settings())
    assert "api" in roles(settings(public_url="https://likeness.example"))


def test_every_key_of_a_service_is_a_lane_with_its_limits() -> None:
    given = settings(openai_api_key=SecretStr("one, two"), openai_total_s=90.0)
    found = [plan for plan in lane_plans(given) if plan.provider == "openai"]
    assert [plan.name for plan in found] == ["openai", "openai-2"]
    assert {(plan.rate_limit, plan.concurrency, plan.submit_total_s) for plan in found} == {("50/m", 10, 90.0)}
    assert synchronous_lanes(given) == found
    assert "two" not in repr(found)


def test_a_submission_may_be_given_up_sooner_where_it_is_not_the_work_itself() -> None:
    keys = {
        "ttapi_api_key": SecretStr("one"),
        "replicate_api_token": SecretStr("two"),
        "openai_api_key": SecretStr("3"),
    }
    given = settings(**keys, sandbox_base_url="http://127.0.0.1:9", submit_total_s=8.0)
    lanes = open_lanes(given)
    totals = {name: lane.submit_total_s for name, lane in lanes.items()}
    # A silent worker's submission is called doubtful when no such call can be under way any more.
    doubted = timing_of(given, lanes.values()).call_totals
    for lane in lanes.values():
        lane.close()
    assert totals == {"ttapi": 8.0, "replicate": 8.0, "sandbox": 8.0, "openai": 600.0}
    assert all(doubted[name] > timedelta(seconds=total) for name, total in totals.items())


def test_a_worker_for_long_calls_has_the_time_to_end_them() -> None:
    given = settings(openai_api_key=SecretStr("one"), openai_total_s=90.0)
    assert role("io-sync", given).grace_s == 120.0
    assert role("io", given).grace_s < role("io-sync", given).grace_s


@pytest.mark.parametrize("name", ["io", "io-sync", "gpu", "beat", "api", "flower"])
def test_every_role_has_its_module(name: str) -> None:
    root = Path(__file__).parents[3]
    assert (root / f"{module_of(name).replace('.', '/')}.py").is_file()
    assert role(name, settings()).argv[-1] == module_of(name)
