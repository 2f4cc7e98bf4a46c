"""The list of what an image holds: written by the Dockerfile's own command, valid, and with all that we ask for."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import cyclonedx.schema
import jsonschema
import pytest
from referencing import Registry, Resource

from tests.support import compose
from tests.support.commands import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def pinned() -> dict[str, str]:
    """The direct dependencies, as pinned; what only some machines install is left out."""
    asked = [one for one in PROJECT["dependencies"] if ";" not in one]
    return {re.split(r"[\[=]", one)[0].lower(): one.rpartition("==")[2] for one in asked}


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter that has the direct dependencies, as far as their own descriptions go."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=60)
    (site,) = folder.glob("lib/python*/site-packages")
    for name in pinned():
        files = distribution(name).files or []
        (metadata,) = (one for one in files if one.name == "METADATA")
        described = Path(str(distribution(name).locate_file(metadata))).parent
        shutil.copytree(described, site / described.name)
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def listed(environment: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    words = re.search(r"&& /opt/lister/bin/(cyclonedx-py .+?)\n\n", compose.images_file().read_text(), re.DOTALL)
    assert words
    target = tmp_path_factory.mktemp("sbom") / "sbom.json"
    places = {"/opt/likeness/bin/python": str(environment), "/sbom.json": str(target)}
    program, *arguments = [places.get(one, one) for one in words[1].replace("\\\n", " ").split()]
    command = [str(Path(sys.executable).with_name(program)), *arguments]
    subprocess.run(command, check=True, cwd=ROOT, capture_output=True, timeout=120)
    content = target.read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(content)
    return document


def test_it_is_what_the_specification_calls_valid(listed: dict[str, Any]) -> None:
    folder = Path(cyclonedx.schema.__file__).parent / "_res"
    schemas = {one.name: json.loads(one.read_text(encoding="utf-8")) for one in folder.glob("*.schema.json")}
    bom = schemas["bom-1.6.SNAPSHOT.schema.json"]
    # They refer to each other by the names of their files.
    named = {bom["$id"].replace("bom-1.6.schema.json", name): one for name, one in schemas.items()}
    known = Registry().with_resources((name, Resource.from_contents(one)) for name, one in named.items())
    validator = jsonschema.Draft7Validator(bom, registry=known)
    assert [error.message for error in validator.iter_errors(listed)] == []
    assert list(validator.iter_errors({**listed, "components": [{"name": "nameless"}]})), "a slip is noticed"


def test_it_lists_every_direct_dependency_at_its_version(listed: dict[str, Any]) -> None:
    assert (listed["bomFormat"], listed["specVersion"]) == ("CycloneDX", "1.6")
    found = {re.sub(r"[._]", "-", one["name"]).lower(): one["version"] for one in listed["components"]}
    assert {name: found.get(re.sub(r"[._]", "-", name)) for name in pinned()} == pinned()


def test_it_is_about_likeness_and_says_where_no_package_came_from(listed: dict[str, Any]) -> None:
    root = listed["metadata"]["component"]
    assert (root["name"], root["version"]) == (PROJECT["name"], PROJECT["version"])
    said = [link["url"] for one in listed["components"] for link in one.get("externalReferences", ())]
    assert said
    assert not [url for url in said if url.startswith("file:") or "/simple/" in url], "an index is one machine's own"
