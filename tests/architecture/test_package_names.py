"""Our import packages have generic names at the top level; here is what keeps that safe (decision 0001)."""

import importlib.metadata
import importlib.util
import sys
from pathlib import Path

import pytest

from tests.support.source import PACKAGES, PYPROJECT, ROOT, product

BESIDE = {"benchmarks", "tests", "tools"}


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_name_is_ours_alone(name: str) -> None:
    owners = set(importlib.metadata.packages_distributions().get(name, ()))
    assert owners <= {"likeness"}, f"{name} is claimed by {owners}"
    assert name not in sys.stdlib_module_names
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    assert Path(spec.origin).is_relative_to(ROOT)


def test_no_folder_of_code_is_left_out_of_any_list() -> None:
    found = {path.parent.name for path in ROOT.glob("*/__init__.py")} - BESIDE
    assert found == set(PACKAGES)
    assert found == set(PYPROJECT["tool"]["importlinter"]["root_packages"])
    assert found == set(PYPROJECT["tool"]["mypy"]["packages"]) - BESIDE


def test_no_module_at_the_root_shadows_another() -> None:
    assert [path.name for path in ROOT.glob("*.py")] == []


def test_a_package_says_what_it_is_and_nothing_else() -> None:
    """Re-exports are a library's courtesy; here they would make rings. The face for scripts is the exception."""
    inits = [one for one in product() if one.path.endswith("/__init__.py") and one.path != "likeness/__init__.py"]
    assert [one.path for one in inits if len(one.tree.body) != 1] == []
