"""The tree of failures: drawn as it is, with an exit code and a blame for each."""

import ast
import importlib
import re

import pytest

import domain.errors
from domain.errors import Blame, LikenessError
from tests.support.source import product

EXIT_CODES = {1, 2, 3}


def _drawn() -> dict[str, str]:
    """Name to parent, as the docstring of `domain.errors` draws it."""
    parents: dict[str, str] = {}
    above: list[str] = []
    for line in (domain.errors.__doc__ or "").splitlines():
        found = re.match(r"(?P<lead>[ │]*(?:[├└]── )?)(?P<name>[A-Z]\w+)(?:\s{2,}|$)", line)
        if found is None or (not above and found["name"] != "LikenessError"):
            continue
        depth = (len(found["lead"]) - 4) // 4
        del above[depth:]
        if above:
            parents[found["name"]] = above[-1]
        above.append(found["name"])
    return parents


def _written() -> dict[str, tuple[str, str]]:
    """Name to parent and module, of every class that is a failure of ours; nothing is imported to know it."""
    bases = {
        node.name: (base.id, module.name)
        for module in product()
        if not module.path.startswith("sandbox/")  # another program, with failures of its own
        for node in module.tree.body
        if isinstance(node, ast.ClassDef)
        for base in node.bases[:1]
        if isinstance(base, ast.Name)
    }

    def is_failure(name: str) -> bool:
        return name == "LikenessError" or (name in bases and is_failure(bases[name][0]))

    return {name: told for name, told in bases.items() if is_failure(name) and name != "LikenessError"}


def test_the_tree_is_drawn_as_it_is() -> None:
    assert _drawn() == {name: parent for name, (parent, _) in _written().items()}


@pytest.mark.parametrize("name", sorted(_written()))
def test_a_failure_ends_a_command_with_its_exit_code(name: str) -> None:
    failure = getattr(importlib.import_module(_written()[name][1]), name)
    assert issubclass(failure, LikenessError)
    assert failure.exit_code in EXIT_CODES
    assert isinstance(failure.blame, Blame)
    assert isinstance(failure.retryable, bool)


def test_what_a_person_asked_for_wrongly_ends_with_two() -> None:
    assert {failure.exit_code for failure in domain.errors.RequestError.__subclasses__()} == {2}
