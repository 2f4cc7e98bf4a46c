"""Nothing of ours pays but attempts: the adapter's calls that no attempt stands for are made by nobody here."""

import ast

import pytest

from providers.contract import Lane
from providers.lane import HttpLane
from tests.support.source import ROOT, Module, product

#: Where the calls are written, and where a stand-in answers them.
THEIR_HOMES = ("providers/", "sandbox/")


def _outside_the_books() -> set[str]:
    """The calls of a lane that make a job for which there is no attempt: no hold, no place, no intent."""
    tree = ast.parse((ROOT / "providers/lane.py").read_text())
    methods = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    return {
        method.name
        for method in methods
        if any(isinstance(node, ast.Attribute) and node.attr == "_side_job" for node in ast.walk(method))
    }


def _named_in(module: Module) -> set[str]:
    """What a module calls by attribute, or could by `getattr`; words within a text are no names."""
    names = {node.attr for node in ast.walk(module.tree) if isinstance(node, ast.Attribute)}
    texts = {node.value for node in ast.walk(module.tree) if isinstance(node, ast.Constant)}
    imported = {name.name for node in ast.walk(module.tree) if isinstance(node, ast.ImportFrom) for name in node.names}
    return names | imported | {text for text in texts if isinstance(text, str)}


def test_the_calls_outside_the_books_are_found() -> None:
    assert _outside_the_books() == {"ask_seed", "blend", "describe", "inpaint"}


def test_nothing_but_the_adapter_knows_a_call_that_pays_outside_the_books() -> None:
    forbidden = _outside_the_books() | {"SideWorker", "_side_job", "_side_worker"}
    found = {
        module.path: sorted(named)
        for module in product()
        if not module.path.startswith(THEIR_HOMES) and (named := _named_in(module) & forbidden)
    }
    assert found == {}


@pytest.mark.parametrize("name", sorted(_outside_the_books()))
def test_the_contract_that_the_steps_hold_has_no_such_call_and_its_own_words_say_so(name: str) -> None:
    assert not hasattr(Lane, name)
    said = getattr(HttpLane, name).__doc__ or ""
    assert "outside the books" in said.splitlines()[0]
