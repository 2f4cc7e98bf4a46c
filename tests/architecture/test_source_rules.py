"""Rules of the code that no linter knows: budgets, docstrings, the one commit, the one door of torch."""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support.source import ROOT, Module, imported, modules_below, product

LONGEST_FUNCTION = 40
LONGEST_FILE = 400
LONGEST_DOCSTRING = 12
#: Docstrings that are longer on purpose: the tree of failures is drawn in one.
DRAWN = {"domain/errors.py"}
#: Where torch may be imported: behind the door `validation/clip.py`, and where the small CLIPs are trained.
BEHIND_THE_DOOR = {
    "validation.bulk",
    "validation.clip",
    "validation.engine",
    "validation.loading",
    "validation.precision",
    "validation.text_tower",
}
TRAINING = ("sandbox/clip/", "sandbox/clip_clothes/")
COMMITS = {"db/session.py"}
ROLES = {"base_classes", "common", "core", "helper", "helpers", "manager", "misc", "service", "shared", "util", "utils"}


def _functions(module: Module) -> Iterator[ast.FunctionDef]:
    return (node for node in ast.walk(module.tree) if isinstance(node, ast.FunctionDef))


def _lines(function: ast.FunctionDef) -> int:
    """Lines from `def` to the end, the docstring not counted."""
    whole = (function.end_lineno or 0) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function, clean=False) is None:
        return whole
    return whole - ((first.end_lineno or 0) - first.lineno + 1)


def test_functions_are_short() -> None:
    long = {
        f"{module.path}: {function.name}": _lines(function)
        for module in product()
        for function in _functions(module)
        if _lines(function) >= LONGEST_FUNCTION
    }
    assert long == {}


def test_files_are_short() -> None:
    long = {module.path: module.text.count("\n") for module in product()}
    assert {path: lines for path, lines in long.items() if lines > LONGEST_FILE} == {}


def test_every_module_says_what_lives_in_it() -> None:
    odd = []
    for module in product():
        said = ast.get_docstring(module.tree) or ""
        if not said or (len(said.splitlines()) > LONGEST_DOCSTRING and module.path not in DRAWN):
            odd.append(f"{module.path}: {len(said.splitlines())} lines")
    assert odd == []


def test_no_file_is_named_after_a_role() -> None:
    assert [module.path for module in product() if module.name.rpartition(".")[2] in ROLES] == []


def test_transactions_end_in_one_place() -> None:
    found = {
        module.path
        for module in product()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "commit"
    }
    assert found <= COMMITS


def test_torch_is_imported_behind_its_door_only() -> None:
    heavy = {"torch", "transformers"}
    users = {
        module.name
        for module in product()
        if not module.path.startswith(TRAINING) and any(name.split(".")[0] in heavy for name in imported(module))
    }
    assert users <= BEHIND_THE_DOOR


def test_the_gpu_worker_alone_opens_the_door() -> None:
    openers = {
        module.path
        for module in product()
        if not module.path.startswith("validation/") and BEHIND_THE_DOOR & set(imported(module))
    }
    assert openers <= {"worker/gpu.py"}


def test_everything_but_scoring_starts_without_torch() -> None:
    light = ["likeness", "worker.main", "worker.beat", "worker.flower", "sandbox.server"]
    light += [module.name for module in modules_below("cli") if not module.path.endswith("__main__.py")]
    program = (
        "import importlib, json, sys\n"
        "for name in sys.argv[1:]:\n"
        "    importlib.import_module(name)\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program, *light], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert loaded.isdisjoint({"torch", "transformers"})


@pytest.mark.parametrize(
    ("escape", "full"),
    [
        ("# noqa", r"# noqa: [A-Z]+\d+(, ?[A-Z]+\d+)*\s+\S.{4,}"),
        ("# type: ignore", r"# type: ignore\[[a-z, -]+\]\s+# ?\S.{4,}"),
        ("# pragma: no cover", r"# pragma: no cover\s+\S.{4,}"),
    ],
)
def test_an_escape_names_its_rule_and_its_reason(escape: str, full: str) -> None:
    bare = [
        f"{module.path}:{number}: {line.strip()}"
        for module in product()
        for number, line in enumerate(module.text.splitlines(), start=1)
        if escape in line and not re.search(full, line)
    ]
    assert bare == []


def test_nothing_is_left_to_be_done_later() -> None:
    later = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    found = [module.path for module in (*product(), *modules_below("benchmarks", "docs")) if later.search(module.text)]
    assert found == []


def test_tables_for_people_are_written_in_one_place() -> None:
    """A cell that begins like a formula is run by whoever opens the file: `reports.csv_cells` makes a text of it."""
    writers = re.compile(r"\bcsv\.(?:writer|DictWriter)\(|\bopenpyxl\b|write_formula\(|\.write\((?=\s*\d+,)")
    assert {module.path for module in product() if writers.search(module.text)} == {"reports/csv_cells.py"}
    books = {module.path for module in product() if "xlsxwriter" in imported(module)}
    assert books == {"reports/workbook.py"}, "which writes with strings_to_formulas off"
