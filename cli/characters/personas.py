"""`persona`: tastes of customers, made from descriptions, liked pictures or feedback, and carried as files."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.installation import Opened, looked_at, opened
from cli.options import AsJson
from cli.tables import one_line, table_of
from cli.terminal import Terminal, open_terminal
from domain.errors import BadInput
from learning.persona import Persona, as_document
from pipeline.learning import personas
from pipeline.operator.feedback import picture_of
from pipeline.views import generations

app = typer.Typer(help="Tastes of customers, which lend words to prompts.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Of the persona.")]


@app.command("create")
def create_command(
    name: Name,
    description: Annotated[str | None, typer.Option(help="What they like, in words.")] = None,
    liked: Annotated[
        list[str] | None,
        typer.Option(metavar="GENERATION", help="A picture they like, by id or BATCH/ROW; repeat for more."),
    ] = None,
    from_feedback: Annotated[bool, typer.Option("--from-feedback", help="From all that you have said so far.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a persona, or make it anew, from one of: a description, liked pictures, feedback."""
    with open_terminal(as_json=as_json) as terminal:
        if (description is not None) + bool(liked) + from_feedback != 1:
            raise BadInput("say one of --description TEXT, --liked GENERATION and --from-feedback")
        with opened() as site:
            if description is not None:
                made = personas.from_description(site.resources, name, description)
            elif liked:
                made = personas.from_pictures(site.resources, name, [_picture(site, one) for one in liked])
            else:
                made = personas.from_feedback(site.resources, name, user_id=site.settings.user)
        _say(terminal, made)


def _picture(site: Opened, named: str) -> tuple[str, str]:
    generation, colon, number = named.partition(":")
    details = generations.find(site.resources, generation, user_id=site.settings.user)
    found = picture_of(details, number if colon else None)
    if found is None:
        raise BadInput(f"{named!r} has no stored picture yet")
    return str(found["sha256"]), str(details.generation["prompt"])


@app.command("list")
def list_command(as_json: AsJson = False) -> None:
    """List the personas."""
    with open_terminal(as_json=as_json) as terminal, looked_at() as site:
        found = personas.list_all(site.resources)
        terminal.document({"personas": [_document(one) for one in found]})
        table = table_of("name", "from", "words", giving={"words"})
        for one in found:
            table.add_row(one.name, one.source.value, one_line(_words(one)))
        terminal.show(table)


@app.command("show")
def show_command(name: Name, as_json: AsJson = False) -> None:
    """Show a persona: its words with their weights, and what it was made from."""
    with open_terminal(as_json=as_json) as terminal, looked_at() as site:
        _say(terminal, personas.find(site.resources, name))


@app.command("export")
def export_command(
    name: Name, file: Annotated[Path, typer.Argument(metavar="FILE", help="Where it goes.")], as_json: AsJson = False
) -> None:
    """Write a persona to a file, which `persona import` reads anywhere."""
    with open_terminal(as_json=as_json) as terminal, looked_at() as site:
        found = personas.find(site.resources, name)
        try:
            file.write_text(json.dumps(as_document(found), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise BadInput(f"{str(file)!r} cannot be written: {error.strerror or error}") from None
        terminal.document({"persona": found.name, "file": str(file)})
        terminal.note(f"written: {file}")


@app.command("import")
def import_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="As `persona export` writes it.")],
    name: Annotated[str | None, typer.Option(help="Another name for it.")] = None,
    as_json: AsJson = False,
) -> None:
    """Read a persona from a file; one of that name is replaced."""
    with open_terminal(as_json=as_json) as terminal:
        try:
            document = json.loads(file.read_bytes())
        except OSError as error:
            raise BadInput(f"{str(file)!r} cannot be read: {error.strerror or error}") from None
        except ValueError as error:
            raise BadInput(f"{str(file)!r} is no JSON: {error}") from None
        with opened() as site:
            _say(terminal, personas.keep_document(site.resources, document, name=name))


def _say(terminal: Terminal, one: Persona) -> None:
    terminal.document(_document(one))
    seen = "" if one.vector is None else f", and a direction of {one.vector.size} dimensions"
    terminal.show(f"{one.name}, from {one.source.value}: {_words(one)}{seen}")


def _words(one: Persona) -> str:
    return ", ".join(f"{word} {weight:+.2f}" for word, weight in one.words)


def _document(one: Persona) -> dict[str, Any]:
    return {**as_document(one), "vector": None if one.vector is None else one.vector.size, "digest": one.digest}
