"""The compose file against the schema of its specification, and against what it must not lose."""

import json
import re
from typing import Any

import jsonschema
import pytest

from tests.support import compose
from tests.support.commands import ROOT
from tools.generate_docs import COMPOSE_VARIABLES

SCHEMA = json.loads((ROOT / "tests" / "data" / "compose" / "compose-spec.json").read_text(encoding="utf-8"))
SET = {name: f"{name.lower()}0" for name, must in compose.variables_of_the_file().items() if must}
SERVICES: dict[str, Any] = compose.services(SET)
OURS = sorted(name for name, one in SERVICES.items() if "build" in one)
LONG_LIVED = sorted(name for name, one in SERVICES.items() if one.get("restart") != "no")


def test_the_file_is_what_the_specification_calls_valid() -> None:
    validator = jsonschema.Draft7Validator(SCHEMA)
    assert [error.message for error in validator.iter_errors(compose.document(SET))] == []
    assert list(validator.iter_errors({"services": {"io": {"comand": "worker io"}}})), "a slip is noticed"


@pytest.mark.parametrize("name", sorted(SET))
def test_a_secret_that_is_not_set_is_asked_for(name: str) -> None:
    with pytest.raises(compose.VariableMissing, match=name):
        compose.services({key: value for key, value in SET.items() if key != name})


def test_every_variable_of_the_file_is_explained_in_the_example_of_env() -> None:
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    explained = {*COMPOSE_VARIABLES, "PWD"}
    assert set(compose.variables_of_the_file()) <= explained
    assert all(f"# {name}=" in example for name in COMPOSE_VARIABLES)


@pytest.mark.parametrize("name", OURS)
def test_a_container_of_ours_has_no_privileges_and_a_limit(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["deploy"]["resources"]["limits"]["memory"]
    assert service["env_file"] == ".env"


def test_only_the_gpu_roles_carry_torch() -> None:
    assert {name for name in OURS if SERVICES[name]["build"]["target"] == "gpu"} == {"gpu", "gpu-1", "gpu-cpu"}
    assert all(SERVICES[name]["image"].endswith(SERVICES[name]["build"]["target"]) for name in OURS)


@pytest.mark.parametrize("name", LONG_LIVED)
def test_a_service_that_lives_long_has_a_health_check(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}


@pytest.mark.parametrize("name", [name for name in OURS if name not in {"migrate", "sandbox"}])
def test_everything_waits_for_one_migration(name: str) -> None:
    assert SERVICES[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}


def test_nothing_is_published_beyond_loopback() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_no_container_fetches_weights_by_itself() -> None:
    images = compose.images_file().read_text(encoding="utf-8")
    (base,) = (stage for stage in images.split("\nFROM ") if " AS base\n" in stage)
    assert "HF_HUB_OFFLINE=1" in base


def test_the_image_runs_as_nobody_special_with_the_uv_of_the_run_script() -> None:
    images = compose.images_file().read_text(encoding="utf-8")
    stages = [stage for stage in images.split("\nFROM ") if "\nENTRYPOINT" in stage]
    assert len(stages) == 2
    assert all(stage.index("\nUSER likeness") < stage.index("\nENTRYPOINT") for stage in stages)
    version = re.compile(r"UV_VERSION=([\d.]+)")
    here, there = version.search(images), version.search((ROOT / "run").read_text(encoding="utf-8"))
    assert here
    assert there
    assert here[1] == there[1]
