"""What a command imports is what its start costs: each pays for what it uses, and nothing else.

Modules are counted and no seconds, so that the machine does not matter.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.commands import environment

WEIGHTS = {"torch", "transformers"}
DELIVERY = {"celery", "kombu", "redis"}
SERVICES = {"httpx2", "standardwebhooks", "tenacity", "boto3"}
PICTURES = {"numpy", "PIL", "matplotlib", "jinja2"}
DATABASE = {"sqlalchemy", "psycopg", "alembic"}
SETTINGS = {"pydantic", "pydantic_settings"}
#: What moves attempts and calls services, and what only a report or one generation's story needs.
WORK = {"db.moves", "db.records.closed_loop", "pipeline.attempts", "pipeline.process.leases", "tasks", "worker"}
CALLS = {"providers", "validation.base"}
STORIES = {"cli.batches.whole_story", "reports.records", "reports.provenance", "db.books.audit", "xml"}
EVERYTHING = WEIGHTS | DELIVERY | SERVICES | PICTURES | DATABASE | SETTINGS

LOADED = "import json, sys\nprint('\\n' + json.dumps(sorted(sys.modules)))"


def loaded(code: str, home: Path, **settings: str) -> set[str]:
    """The modules and packages that a fresh Python has loaded after `code`, by their full names."""
    shown = subprocess.run(
        [sys.executable, "-c", f"{code}\n{LOADED}"],
        cwd=home,
        env=environment(home, **settings),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return set(json.loads(shown.stdout.splitlines()[-1]))


def call(*arguments: str, code: int) -> str:
    return f"import cli.main; assert cli.main.run({list(arguments)!r}) == {code}"


@pytest.mark.parametrize(
    ("code", "without"),
    [
        ("import likeness", EVERYTHING | {"rich", "typer"}),
        (call("--help", code=0), EVERYTHING | {"rich"}),
        (call("run", "missing.csv", code=2), EVERYTHING - {"pydantic"}),  # Typer asks for it
        (call("models", code=0), EVERYTHING - SETTINGS),
        ("import likeness; likeness.connect", WEIGHTS),
        ("import cli.batches.enqueueing, cli.batches.watch", WEIGHTS | {"matplotlib"}),
        ("import cli.operations.lanes, cli.operations.doctor, cli.characters.commands, cli.demo.commands", WEIGHTS),
    ],
    ids=lambda value: value if isinstance(value, str) else ", ".join(sorted(value)),
)
def test_a_start_loads_what_it_uses(home: Path, code: str, without: set[str]) -> None:
    assert loaded(code, home) & without == set()


@pytest.mark.parametrize("command", ["status", "list", "cost"])
def test_who_only_looks_loads_the_database_and_no_service(
    home: Path, database_url: str, redis_url: str, command: str
) -> None:
    found = loaded(
        call(command, code=0 if command == "cost" else 2), home, DATABASE_URL=database_url, REDIS_URL=redis_url
    )
    assert found & (WEIGHTS | DELIVERY | SERVICES | PICTURES | {"alembic"}) == set()
    assert found & (WORK | CALLS | STORIES) == set()
    assert "sqlalchemy" in found


AT_THE_END = """
import atexit, gc, sys
import cli.main
atexit.register(lambda: print(gc.get_freeze_count() > len(sys.modules), gc.isenabled()))
sys.argv = ["likeness", "--version"]
cli.main.main()
"""


def test_the_end_of_a_process_does_not_look_through_what_it_imported(home: Path) -> None:
    shown = subprocess.run(
        [sys.executable, "-c", AT_THE_END], cwd=home, env=environment(home), capture_output=True, text=True, check=True
    )
    assert shown.stdout.splitlines()[-1] == "True True"
