"""Which lanes the settings make: one table for every service that needs a key."""

import pytest

from domain.errors import ServiceMissing, UnknownThing
from runtime.lanes import lane_plans, open_lanes, require_lane
from runtime.resources import server_urls
from runtime.settings import Settings, read_settings


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("TTAPI_API_KEY", "tt-key-one, tt-key-two")
    monkeypatch.setenv("REPLICATE_API_TOKEN", "r8-token-one")
    monkeypatch.setenv("SANDBOX_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("REPLICATE_BASE_URL", "http://127.0.0.1:9/replicate/v1")
    return read_settings()


def test_each_key_is_a_lane_and_each_service_has_its_own_limits(settings: Settings) -> None:
    found = {plan.name: plan for plan in lane_plans(settings)}
    assert set(found) == {"ttapi", "ttapi-2", "replicate", "sandbox"}
    assert (found["replicate"].rate_limit, found["replicate"].concurrency) == ("100/m", 50)
    assert (found["ttapi-2"].provider, found["ttapi-2"].concurrency) == ("ttapi", 10)
    assert found["replicate"].base_url == "http://127.0.0.1:9/replicate"


def test_a_number_of_jobs_that_a_person_set_is_known_as_such(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not any(plan.concurrency_said for plan in lane_plans(settings))
    monkeypatch.setenv("TTAPI_CONCURRENCY", "3")
    found = {plan.name: plan for plan in lane_plans(read_settings())}
    assert (found["ttapi"].concurrency, found["ttapi"].concurrency_said) == (3, True)
    assert not found["replicate"].concurrency_said


def test_a_service_played_by_the_sandbox_takes_files_there_and_is_looked_at_sooner(settings: Settings) -> None:
    lanes = open_lanes(settings)
    try:
        nano, midjourney = "google/nano-banana-pro", "midjourney"
        stand_in = lanes["sandbox"].first_look_after({}, model=midjourney)
        assert lanes["replicate"].first_look_after({}, model=nano) == stand_in
        assert lanes["ttapi"].first_look_after({}, model=midjourney) > stand_in
    finally:
        for lane in lanes.values():
            lane.close()


def test_no_key_is_ever_shown(settings: Settings) -> None:
    shown = repr(settings) + repr(settings.services) + repr(list(lane_plans(settings)))
    assert "tt-key" not in shown
    assert "r8-token" not in shown


def test_a_service_without_its_key_is_named_with_the_setting_it_lacks() -> None:
    with pytest.raises(ServiceMissing, match="REPLICATE_API_TOKEN is not set"):
        require_lane(read_settings(), "replicate")
    with pytest.raises(UnknownThing, match="did you mean 'replicate'"):
        require_lane(read_settings(), "replicat")
    with pytest.raises(ServiceMissing, match="SANDBOX_BASE_URL is not set"):
        require_lane(read_settings(), "sandbox")


def test_a_worker_without_servers_is_promised_none() -> None:
    with pytest.raises(ServiceMissing, match="starts no servers"):
        server_urls(read_settings())


def test_a_service_with_its_key_can_serve(settings: Settings) -> None:
    require_lane(settings, "replicate")
