"""Generate documentation from code: states, settings, commands, failures. Run as `python -m tools.generate_docs`.

`make docs` runs it, and a test compares the result; do not edit generated parts. Prose such as `architecture.md`,
`operations.md` and the decisions is written by hand.
"""

import inspect
import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from cli.lazy import LazyCommand
from cli.main import COMMANDS
from domain import states
from domain.garments import json_schema
from domain.schedule import LONGEST_JOB
from domain.states import FINAL, IN_FLIGHT, LIVE, MOVES, PUBLIC_STATUS, AttemptState, GenerationState
from runtime.settings import Settings
from tools.failure_table import failure_table
from tools.performance_table import parts_table, whole_path_table

ROOT = Path(__file__).resolve().parent.parent
#: Variables of the compose file, which is no Python and so can't say itself what they mean; a test compares the names.
COMPOSE_VARIABLES = {
    "COMPOSE_PROFILES": "beyond the usual: gpu, gpu-1, cpu, openai, api, webhooks, observe, sandbox; commas between",
    "POSTGRES_PASSWORD": "letters and digits, for it stands in an address; must be set",
    "REDIS_PASSWORD": "as POSTGRES_PASSWORD",
    "FLOWER_BASIC_AUTH": "USER:PASSWORD of Flower's page; must be set",
    "CLI_USER": "UID:GID that `docker compose run cli` writes files as; none: the image's own user",
    "PYTHON_IMAGE": "base of both images, such as python@sha256:...; none: the tag in docker-compose.yml",
    "POSTGRES_IMAGE": "as PYTHON_IMAGE; must bring pgvector",
    "REDIS_IMAGE": "as PYTHON_IMAGE; must bring valkey-server and valkey-cli",
    "GRAFANA_PASSWORD": "of Grafana's user admin; none: admin, which it asks to change",
    "PROMETHEUS_IMAGE": "as PYTHON_IMAGE",
    "GRAFANA_IMAGE": "as PYTHON_IMAGE",
}
#: Options that every command has.
_SAME_EVERYWHERE = frozenset({"help", "install_completion", "show_completion"})


def meanings(words: type[StrEnum]) -> dict[str, str]:
    """The comment beside each enum member, read from the source."""
    found = re.findall(r'= "(\w+)"  # (.+)', inspect.getsource(words))
    return dict(found)


# --- docs/state-machine.md ---


def state_machine() -> str:
    """The page of states, drawn from the table of moves."""
    return "\n".join([*_graph_part(), *_generation_part(), *_attempt_part()]) + "\n"


def _graph_part() -> Iterator[str]:
    yield "# The state machine"
    yield ""
    yield "Written by `make docs` from `domain/states.py`; a test compares. `db/moves/` builds its statements from the"
    yield "same table, and the tables of the database carry it as CHECK constraints."
    yield ""
    yield "```mermaid"
    yield "stateDiagram-v2"
    yield '    state "unfinished" as unfinished {'
    unfinished = [state for state in GenerationState if state not in FINAL]
    yield f"        [*] --> {GenerationState.QUEUED}"
    for state in unfinished:
        for target in _ordered(MOVES[state] - FINAL):
            yield f"        {state} --> {target}"
    yield "    }"
    from_all = [target for target in _ordered(FINAL) if all(target in MOVES[state] for state in unfinished)]
    for target in from_all:
        yield f"    unfinished --> {target}"
    for state in unfinished:
        for target in _ordered(MOVES[state] & FINAL - set(from_all)):
            yield f"    {state} --> {target}"
    for state in _ordered(FINAL):
        for target in _ordered(MOVES[state]):
            yield f"    {state} --> {target}: on demand"
    yield "```"
    yield ""
    yield "*On demand*: a person asks for it, or a new threshold version judges anew."
    yield ""


def _generation_part() -> Iterator[str]:
    yield "## A generation"
    yield ""
    yield "| state | meaning | public status | may become |"
    yield "|---|---|---|---|"
    meaning = meanings(GenerationState)
    for state in GenerationState:
        onward = ", ".join(f"`{target}`" for target in _ordered(MOVES[state]))
        name = f"**`{state}`**" if state in FINAL else f"`{state}`"
        yield f"| {name} | {meaning[state].removeprefix('final: ')} | `{PUBLIC_STATUS[state]}` | {onward} |"
    yield ""
    yield "The bold ones are final: exactly those rows have a finish time, which a CHECK constraint holds."
    yield ""


def _attempt_part() -> Iterator[str]:
    yield "## An attempt"
    yield ""
    yield "A generation has at most one live attempt of a kind (a partial unique index), but for those that were found"
    yield "late, of which any number may live beside it. A live attempt carries the"
    yield "word of its generation; one that is `finished` has an outcome and no hold any more."
    yield ""
    yield "| state | live | takes one of the lane's places |"
    yield "|---|---|---|"
    for state in AttemptState:
        place = _yes(state in IN_FLIGHT)
        if state is AttemptState.IN_DOUBT:
            place += f", for {LONGEST_JOB.total_seconds() / 60:.0f} minutes after its intent"
        yield f"| `{state}` | {_yes(state in LIVE)} | {place} |"
    yield ""
    outcomes = meanings(states.Outcome)
    yield "Outcomes: " + ", ".join(
        f"`{one}`" + (f" ({outcomes[one]})" if one in outcomes else "") for one in states.Outcome
    )
    yield ""
    yield "Holds: " + ", ".join(f"`{one}`" for one in states.HoldState)


def _ordered(some: frozenset[GenerationState] | set[GenerationState]) -> list[GenerationState]:
    return [state for state in GenerationState if state in some]


def _yes(fact: bool) -> str:  # noqa: FBT001 -- the fact is the function's one subject
    return "yes" if fact else ""


# --- .env.example ---


def env_example() -> str:
    """Every setting with its meaning and default, in the order of the settings."""
    lines = [
        "# Every setting, written by `make docs` from runtime/settings.py. Copy this file to .env and change what you",
        "# need: a line that is commented out shows the default, or nothing where there is none.",
    ]
    for field in Settings.model_fields.values():
        lines += ["", f"# {field.description}", f"# {field.validation_alias}={_shown(field.default)}"]
    lines += ["", "# --- what docker-compose.yml alone reads ---"]
    for name, meaning in COMPOSE_VARIABLES.items():
        lines += ["", f"# {meaning}", f"# {name}="]
    return "\n".join(lines) + "\n"


def _shown(default: object) -> str:
    """A default as written in the file; secrets have none."""
    assert not isinstance(default, SecretStr)
    return "" if default is None else str(default)


# --- the commands: README.md and docs/commands.md ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One argument or option, as users type it."""

    names: tuple[str, ...]
    shown: str
    says: str
    default: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command, with the text of its `--help`."""

    name: str
    says: str
    parameters: tuple[Parameter, ...]

    @property
    def usage(self) -> str:
        return " ".join(["likeness", self.name, *(one.shown for one in self.parameters if not one.names)])


def command_table() -> str:
    """The table of the README: the lines of `likeness --help`, under its headings."""
    lines = ["| command | what it does |", "|---|---|"]
    heading = None
    for entry in COMMANDS:
        if entry.panel is None:
            continue
        if entry.panel != heading:
            heading = entry.panel
            lines.append(f"| *{heading}* | |")
        lines.append(f"| `{entry.name}` | {entry.says} |")
    return "\n".join(lines)


def commands() -> Iterator[Command]:
    """Every command and sub-command, in the order of `likeness --help`."""
    for entry in COMMANDS:
        if entry.panel is not None:
            yield from _walk(LazyCommand(entry).load(), entry.name)


def _walk(command: Any, name: str) -> Iterator[Command]:
    below = getattr(command, "commands", {})
    if not below or command.invoke_without_command:
        shown = tuple(_parameter(one) for one in command.params if one.name not in _SAME_EVERYWHERE and not one.hidden)
        yield Command(name=name, says=" ".join((command.help or "").split()), parameters=shown)
    for word, one in below.items():
        yield from _walk(one, f"{name} {word}")


def _parameter(one: Any) -> Parameter:
    metavar = (one.metavar or one.name.upper()).strip("[].")
    says = (one.help or "").replace("|", "\\|")
    if one.param_type_name == "argument":
        shown = f"{metavar}..." if one.nargs == -1 else metavar
        return Parameter(names=(), shown=shown if one.required else f"[{shown}]", says=says, default="")
    negative = () if one.default is False else tuple(one.secondary_opts)
    names = (*one.opts, *negative)
    shown = "/".join(names) if one.is_flag else f"{'/'.join(names)} {metavar}"
    return Parameter(names=(*one.opts, *one.secondary_opts), shown=shown, says=says, default=_default(one))


def _default(one: Any) -> str:
    """The default as a person would type it; nothing for flags, and where there is none."""
    bare = one.is_flag or one.required or callable(one.default) or one.default in {None, ""}
    return "" if bare else f"`{one.default}`"


def command_reference() -> str:
    """Every command with its options."""
    lines = [
        "# Commands",
        "",
        "Written by `make docs` from the commands themselves; `--help` after each says the same.",
    ]
    for one in commands():
        lines += ["", f"## `{one.usage}`", "", one.says]
        if one.parameters:
            lines += ["", "| | | default |", "|---|---|---|"]
            lines += [f"| `{each.shown}` | {each.says} | {each.default} |" for each in one.parameters]
    return "\n".join(lines) + "\n"


def readme() -> str:
    """The README with its table of commands regenerated."""
    return _renewed("README.md", "commands", command_table())


def providers() -> str:
    """The page of providers with its table of failures regenerated."""
    return _renewed("docs/providers.md", "failures", failure_table())


def performance() -> str:
    """The page of measurements with its newest tables."""
    page = _renewed("docs/performance.md", "whole path", whole_path_table())
    return _with_part(page, "parts", parts_table())


def vlt_schema() -> str:
    """JSON Schema of a specification of garments."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Specification of garments (VLT)"}
    return json.dumps({**head, **json_schema(strict=False)}, indent=2) + "\n"


def scripting() -> str:
    """The page about scripts with the examples as they are."""
    page = (ROOT / "docs" / "scripting.md").read_text(encoding="utf-8")
    for path in sorted((ROOT / "examples").glob("*.py")):
        page = _with_part(page, path.name, f"```python\n{path.read_text(encoding='utf-8')}```")
    return page


def _renewed(name: str, part: str, content: str) -> str:
    return _with_part((ROOT / name).read_text(encoding="utf-8"), part, content)


def _with_part(page: str, part: str, content: str) -> str:
    begin, end = f"<!-- {part}: written by `make docs` -->", f"<!-- {part}: end -->"
    before, _, rest = page.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n\n{content}\n\n{end}{after}"


#: Each generated file and its generator.
GENERATED: dict[str, Callable[[], str]] = {
    ".env.example": env_example,
    "README.md": readme,
    "docs/commands.md": command_reference,
    "docs/performance.md": performance,
    "docs/providers.md": providers,
    "docs/scripting.md": scripting,
    "docs/state-machine.md": state_machine,
    "docs/vlt.schema.json": vlt_schema,
}


def main() -> None:
    """Write every generated file that differs, and name it."""
    for name, write in GENERATED.items():
        path, content = ROOT / name, write()
        if not path.exists() or path.read_text(encoding="utf-8") != content:
            path.write_text(content, encoding="utf-8")
            sys.stdout.write(f"wrote {name}\n")


if __name__ == "__main__":
    main()
