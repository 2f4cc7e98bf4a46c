"""Lanes by their provider's name, and what their settings must hold."""

from datetime import timedelta

import pytest

from domain.errors import ServiceMissing, UnknownThing
from providers.registry import SERVICES, open_lane, service


def test_an_unknown_provider_is_refused_with_those_there_are() -> None:
    known = "openai, replicate, sandbox, ttapi"
    with pytest.raises(UnknownThing, match=rf"no provider 'ttap'; did you mean 'ttapi'\? Known ones: {known}"):
        service("ttap")


def test_a_real_lane_needs_its_key() -> None:
    with pytest.raises(ServiceMissing, match="lane 'ttapi'"):
        open_lane("ttapi", "ttapi")


def test_a_sandbox_needs_its_address_and_no_key() -> None:
    with pytest.raises(ServiceMissing, match="base URL"):
        open_lane("sandbox", "sandbox")
    with open_lane("sandbox", "sandbox", base_url="http://127.0.0.1:9/") as lane:
        assert repr(lane) == "HttpLane('sandbox', 'sandbox', base_url='http://127.0.0.1:9/ttapi')"
        assert lane.first_look_after({"mode": "relax"}, model="midjourney") < timedelta(seconds=1)


def test_a_lane_shows_its_address_and_not_its_key() -> None:
    with open_lane("ttapi-2", "ttapi", key="sk-1", base_url="https://hold.ttapi.io/") as lane:
        assert repr(lane) == "HttpLane('ttapi-2', 'ttapi', base_url='https://hold.ttapi.io')"
        assert lane.first_look_after({"mode": "relax"}, model="midjourney") == timedelta(seconds=150)
        assert lane.list_parts


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_service_can_be_opened(name: str) -> None:
    with open_lane(name, name, base_url="http://127.0.0.1:9", key="k") as lane:
        assert (lane.name, lane.provider) == (name, name)
