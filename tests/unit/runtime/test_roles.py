"""Which workers an installation needs, and how each is started and stopped."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from providers.registry import SERVICES, is_synchronous
from runtime.crew import module_of, role, roles
from runtime.lanes import lane_plans, synchronous_lanes
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


def test_a_worker_for_long_calls_has_the_time_to_end_them() -> None:
    given = settings(openai_api_key=SecretStr("one"), openai_total_s=90.0)
    assert role("io-sync", given).grace_s == 120.0
    assert role("io", given).grace_s < role("io-sync", given).grace_s


@pytest.mark.parametrize("name", ["io", "io-sync", "gpu", "beat", "api", "flower"])
def test_every_role_has_its_module(name: str) -> None:
    root = Path(__file__).parents[3]
    assert (root / f"{module_of(name).replace('.', '/')}.py").is_file()
    assert role(name, settings()).argv[-1] == module_of(name)
