"""`docker-compose.yml` as Compose reads it: merged, with the variables of an `.env` put in."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.support.commands import ROOT

FILE = ROOT / "docker-compose.yml"
_VARIABLE = re.compile(r"\$(?:\$|\{(?P<name>\w+)(?::(?P<kind>[-?])(?P<text>[^}]*))?\})")


class VariableMissing(Exception):
    """A variable that the file insists on is not set."""


def document(variables: Mapping[str, str] | None = None) -> Any:
    """The file with YAML's merges done; with its variables replaced where some are given."""
    content = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return content if variables is None else _filled(content, variables)


def services(variables: Mapping[str, str] | None = None) -> dict[str, Any]:
    found: dict[str, Any] = document(variables)["services"]
    return found


def variables_of_the_file() -> dict[str, bool]:
    """Every variable that the file names, and whether it must be set."""
    found = [one for one in _VARIABLE.finditer(FILE.read_text(encoding="utf-8")) if one["name"]]
    return {one["name"]: one["kind"] == "?" for one in found}


def images_file() -> Path:
    return ROOT / "deploy" / "Dockerfile"


def _filled(content: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(content, dict):
        return {key: _filled(value, variables) for key, value in content.items()}
    if isinstance(content, list):
        return [_filled(value, variables) for value in content]
    return _VARIABLE.sub(lambda found: _value(found, variables), content) if isinstance(content, str) else content


def _value(found: re.Match[str], variables: Mapping[str, str]) -> str:
    name = found["name"]
    if name is None:
        return "$"
    if value := variables.get(name):
        return value
    if found["kind"] == "?":
        raise VariableMissing(f"{name}: {found['text']}")
    return found["text"] or ""
