"""The chart as Helm itself renders it: what a pod may do, how long it may take to end, and by what it is scaled."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from cli.operations.roles import Role
from runtime.settings import Settings
from tests.support import compose, helm

ROLES = [role.value for role in Role]
EVERYTHING = (
    "roles.io-sync.enabled=true",
    "roles.flower.enabled=true",
    "network.apiFrom[0].podSelector.matchLabels.a=b",
)
VALUES = yaml.safe_load((helm.CHART / "values.yaml").read_text(encoding="utf-8"))
SCHEMA = json.loads((helm.CHART / "values.schema.json").read_text(encoding="utf-8"))


def refused(change: dict[str, Any]) -> bool:
    return not jsonschema.Draft7Validator(SCHEMA).is_valid(_merged(VALUES, change))


def _merged(values: Any, change: Any) -> Any:
    if not isinstance(values, dict) or not isinstance(change, dict):
        return change
    return {**values, **{key: _merged(values.get(key), value) for key, value in change.items()}}


def test_the_values_are_valid_and_cover_every_role() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    assert not refused({})
    assert sorted(VALUES["roles"]) == sorted(ROLES)


@pytest.mark.parametrize(
    "change",
    [
        {"roles": {"beat": {"replicas": 2}}},
        {"roles": {"beat": {"most": 3}}},
        {"roles": {"io": {"replicas": 0}}},
        {"roles": {"gpu": {"threads": 0}}},
        {"settings": {"TTAPI_API_KEY": "in the open"}},
        {"settings": {"LIKENESS_METRICS_TOKEN": "in the open"}},
        {"secretName": ""},
        {"picturesClaim": ""},
        {"longestCallSeconds": 0},
        {"sekretName": "a slip"},
    ],
    ids=json.dumps,
)
def test_what_cannot_work_is_refused(change: dict[str, Any]) -> None:
    assert refused(change)


def test_every_secret_setting_is_kept_out_of_the_settings() -> None:
    secret = [
        field.validation_alias for field in Settings.model_fields.values() if "SecretStr" in str(field.annotation)
    ]
    assert secret
    assert [name for name in secret if not refused({"settings": {str(name): "in the open"}})] == []


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return helm.helm(tmp_path_factory.mktemp("helm"))


@pytest.fixture(scope="module")
def objects(program: Path) -> dict[tuple[str, str], Any]:
    return helm.rendered(program, EVERYTHING)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_helm_finds_nothing_wrong(program: Path) -> None:
    done = helm.call(program, "lint", "--strict", str(helm.CHART))
    assert done.returncode == 0, done.stdout
    assert helm.rendered(program), "as it is"
    assert not [key for key in helm.rendered(program, ["keda.enabled=false"]) if key[0] == "ScaledObject"]
    two = helm.call(program, "template", str(helm.CHART), "--set=roles.beat.replicas=2")
    assert two.returncode != 0


@pytest.mark.slow
def test_every_pod_runs_one_role_without_privileges(objects: dict[tuple[str, str], Any]) -> None:
    pods = {
        name: one["spec"]["template"]["spec"] for (kind, name), one in objects.items() if kind in {"Deployment", "Job"}
    }
    assert sorted(pods) == sorted(f"likeness-{role}" for role in [*ROLES, "migrate"])
    for name, pod in pods.items():
        (container,) = pod["containers"]
        role = name.removeprefix("likeness-")
        assert container["args"] == (["migrate"] if role == "migrate" else ["worker", role])
        assert container["image"] == f"likeness:{'gpu' if role == 'gpu' else 'app'}"
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["automountServiceAccountToken"] is False
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["limits"]["memory"]
        assert container["envFrom"] == [{"secretRef": {"name": "likeness"}}]
        if role != "migrate":
            assert container["readinessProbe"]["exec"]["command"] == ["likeness", "health", "--role", role]
            assert {"startupProbe", "livenessProbe"} <= container.keys()
    assert not [key for key in objects if key[0] == "Secret"], "the chart holds no secret"


@pytest.mark.slow
def test_a_pod_may_take_longer_to_end_than_its_longest_step(objects: dict[tuple[str, str], Any]) -> None:
    grace = {
        role: objects["Deployment", f"likeness-{role}"]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
        for role in ROLES
    }
    assert grace["io-sync"] >= Settings.model_fields["openai_total_s"].default + 60
    # What docs/operations.md says of a worker that is told to stop.
    assert min(grace["io"], grace["gpu"]) > 65
    assert "stop_grace_period" in compose.FILE.read_text(encoding="utf-8")


@pytest.mark.slow
def test_work_is_scaled_by_the_rows_and_never_below_a_worker_of_io(objects: dict[tuple[str, str], Any]) -> None:
    scaled = {
        name.removeprefix("likeness-"): one["spec"] for (kind, name), one in objects.items() if kind == "ScaledObject"
    }
    assert sorted(scaled) == ["gpu", "io", "io-sync"]
    for role, spec in scaled.items():
        (trigger,) = spec["triggers"]
        assert trigger["type"] == "postgresql"
        assert trigger["metadata"]["query"] == helm.scaling_query(role).strip()
        assert "replicas" not in objects["Deployment", f"likeness-{role}"]["spec"], "two would decide about one number"
    assert scaled["io"]["minReplicaCount"] >= 1
    assert objects["Deployment", "likeness-beat"]["spec"]["strategy"] == {"type": "Recreate"}


@pytest.mark.slow
def test_nobody_is_let_in_unless_named(objects: dict[tuple[str, str], Any], program: Path) -> None:
    policies = {name: one["spec"] for (kind, name), one in objects.items() if kind == "NetworkPolicy"}
    assert "ingress" not in policies["likeness"]
    reached = {port["port"] for rule in policies["likeness"]["egress"] for port in rule["ports"]}
    assert reached == {53, 5432, 6379}
    assert policies["likeness"]["policyTypes"] == ["Ingress", "Egress"]
    assert policies["likeness-api"]["ingress"][0]["ports"] == [{"port": 8800, "protocol": "TCP"}]
    assert ("NetworkPolicy", "likeness-api") not in helm.rendered(program)
