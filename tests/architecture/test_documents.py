"""What is written about the code is true of it: generated pages, links, commands, names, versions, queries."""

import os
import re
import subprocess
from collections.abc import Iterator

import pytest
from sqlalchemy import text

from db.session import Database
from pipeline.intake.columns import ALIASES, KNOWN
from tasks import names
from tests.support.source import PYPROJECT, ROOT, product, tracked
from tools.generate_docs import GENERATED, Command, commands

PAGES = [name for name in tracked() if name.endswith(".md")]
MOST_WORDS = 20
LONGEST_DECISION = 80
HEADINGS = ("Context", "Decision", "Consequences", "Alternatives", "Check")


def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(GENERATED))
def test_a_generated_page_says_what_the_code_says(name: str) -> None:
    assert _text(name) == GENERATED[name](), f"{name} is behind the code; run `make docs`"


def test_every_task_and_queue_stands_in_the_architecture() -> None:
    page = _text("docs/architecture.md")
    constants = {value for name, value in vars(names).items() if name.isupper() and isinstance(value, str)}
    spelled = {name.replace("{lane}", "<lane>").rstrip(".") for name in constants}
    assert {name for name in spelled if name not in page} == set()


def test_every_column_of_a_prompt_file_stands_in_the_operations() -> None:
    page = _text("docs/operations.md")
    assert {name for name in KNOWN | set(ALIASES) if f"`{name}`" not in page} == set()


def test_the_newest_version_is_the_one_of_the_project() -> None:
    newest = re.search(r"^## \[(?P<version>[^\]]+)\]", _text("CHANGELOG.md"), flags=re.MULTILINE)
    assert newest is not None
    assert newest["version"] == PYPROJECT["project"]["version"]


def test_the_glossary_stays_small() -> None:
    rows = re.findall(r"^\| \*\*", _text("docs/glossary.md"), flags=re.MULTILINE)
    assert 10 <= len(rows) <= MOST_WORDS


def _decisions() -> list[str]:
    return sorted(path.name for path in (ROOT / "docs" / "decisions").glob("*.md"))


def test_decisions_are_numbered_once_each() -> None:
    numbers = [name[:4] for name in _decisions()]
    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize("name", _decisions())
def test_a_decision_is_one_page_with_its_parts_in_order(name: str) -> None:
    page = _text(f"docs/decisions/{name}")
    assert re.match(rf"# {name[:4]}\b", page)
    assert len(page.splitlines()) <= LONGEST_DECISION
    places = [re.search(rf"(\*\*|^## ){heading}", page, flags=re.MULTILINE) for heading in HEADINGS]
    assert all(places), f"{name} lacks one of {HEADINGS}"
    starts = [place.start() for place in places if place]
    assert starts == sorted(starts)


def _links(page: str) -> Iterator[str]:
    for target in re.findall(r"\]\(([^)\s]+)\)", _text(page)):
        if not re.match(r"[a-z]+:|#", target):
            yield target.partition("#")[0]


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    folder = (ROOT / page).parent
    assert [target for target in _links(page) if not (folder / target).exists()] == []


def _calls(prose: str) -> Iterator[str]:
    """Every `likeness ...` in code spans and code blocks."""
    code = re.findall(r"```sh\n(.*?)```|`([^`\n]+)`", prose, flags=re.DOTALL)
    for line in "\n".join("\n".join(pair) for pair in code).splitlines():
        found = re.match(r"(?:uv run )?likeness (?P<call>[a-z].*)", line.partition("#")[0].strip())
        if found is not None:
            yield found["call"].rstrip(" &")


def _known() -> dict[str, Command]:
    return {one.name: one for one in commands()}


def _wrong(call: str, known: dict[str, Command]) -> str | None:
    words = call.split()
    command = known.get(" ".join(words[:2])) or known.get(words[0])
    group = any(name.startswith(f"{words[0]} ") for name in known)
    if command is None:
        return None if group and len(words) == 1 else f"`likeness {call}`: no such command"
    options = {name for one in command.parameters for name in one.names} | {"--help"}
    odd = [word for word in words if word.startswith("--") and word.partition("=")[0] not in options]
    return f"`likeness {call}`: no option {odd}" if odd else None


#: A decision stands as it was made; the commands it speaks of may have changed, or be still to come.
PRESENT = [page for page in PAGES if not page.startswith("docs/decisions/")]


@pytest.mark.parametrize("page", PRESENT)
def test_every_command_in_a_page_exists(page: str) -> None:
    known = _known()
    assert [wrong for call in _calls(_text(page)) if (wrong := _wrong(call, known))] == []


def test_every_command_that_the_code_advises_exists() -> None:
    known = _known()
    advised = {call for module in product() for call in _calls(re.sub(r"\{[^{}]*\}", "X", module.text))}
    assert [wrong for call in sorted(advised) if (wrong := _wrong(call, known))] == []


def _places(page: str) -> Iterator[tuple[str, str]]:
    """Modules of ours that a page names in code spans, each with a name in it where one follows: `a/b.py:name`."""
    for place in re.findall(r"`((?:[a-z_]+/)+[a-z_]+\.py(?::\w+)?)`", _text(page)):
        path, _, name = place.partition(":")
        yield path, name


@pytest.mark.parametrize("page", PRESENT)
def test_every_module_that_a_page_names_exists(page: str) -> None:
    files = set(tracked())
    wrong = []
    for path, name in _places(page):
        found = path in files
        if found and name:
            found = re.search(rf"^ *(?:def |class )?{name}\b", _text(path), flags=re.MULTILINE) is not None
        if not found:
            wrong.append(f"{path}:{name}" if name else path)
    assert wrong == []


def test_every_verb_of_make_is_listed_and_known() -> None:
    makefile = _text("Makefile")
    phony = re.search(r"^\.PHONY: (.+)$", makefile, flags=re.MULTILINE)
    assert phony is not None
    described = re.findall(r"^([a-z]+):.*## \S", makefile, flags=re.MULTILINE)
    assert sorted(phony[1].split()) == sorted(described)
    used = {verb for page in PAGES for verb in re.findall(r"(?:^|`)make ([a-z]+)", _text(page), flags=re.MULTILINE)}
    assert used <= set(described)


def test_the_script_of_ci_can_be_run() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", str(script)], check=True)


def test_no_tracked_file_names_a_machine_or_a_package_index() -> None:
    hosts = r"(?:pypi|pythonhosted|piwheels|artifactory|jfrog|devpi|nexus)[\w.-]*\.(?:org|com|io|net|local|internal)"
    paths = r"(?<![\w.])/(?:work|home|Users|root)/[\w.-]+"
    private = re.compile(rf"{hosts}|{paths}|index-url|ghcr\.io|quay\.io", flags=re.IGNORECASE)
    here = "tests/architecture/test_documents.py"
    found = []
    for name in tracked():
        content = (ROOT / name).read_bytes()
        if name != here and b"\x00" not in content and (seen := private.search(content.decode("utf-8", "replace"))):
            found.append(f"{name}: {seen[0]}")
    assert found == []


def test_the_queries_of_the_operations_page_run(database: Database) -> None:
    blocks = re.findall(r"```sql\n(.*?)```", _text("docs/operations.md"), flags=re.DOTALL)
    statements = [one.strip() for block in blocks for one in block.split(";") if one.strip()]
    assert len(statements) >= 3
    with database.transaction() as connection:
        for statement in statements:
            connection.execute(text(statement)).all()
