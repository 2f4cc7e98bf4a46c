"""`docs/providers.md`: every trap has its row, and every row a test that exists; every failure says what it costs."""

import ast
import re

from tests.support.source import ROOT
from tools.failure_table import MONEY, kinds

PAGE = (ROOT / "docs" / "providers.md").read_text(encoding="utf-8")
TRAPS = 35
_ROW = re.compile(r"^\| (\d+) \| .+? \| .+? \| (.+) \|$", re.MULTILINE)
_TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def _tests_in(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_every_trap_has_its_row_in_order() -> None:
    assert [int(number) for number, _ in _ROW.findall(PAGE)] == list(range(1, TRAPS + 1))


def test_every_trap_names_tests_that_exist() -> None:
    missing = []
    for number, cell in _ROW.findall(PAGE):
        named = _TEST.findall(cell)
        assert named, f"trap {number} names no test"
        missing += [
            f"{number}: {path}::{name}"
            for path, name in named
            if not (ROOT / path).is_file() or name not in _tests_in(path)
        ]
    assert missing == []


def test_every_failure_of_a_service_says_what_becomes_of_the_money() -> None:
    assert {kind.__name__ for kind in kinds()} == {kind.__name__ for kind in MONEY}
