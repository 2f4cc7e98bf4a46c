"""`show FILE`: what the record of a picture file says, and whether the picture is still the one that it is about."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import typer
from rich.text import Text

from cli.tables import facts_of
from cli.terminal import ENDED_OTHERWISE, Terminal
from domain.errors import BadInput
from reports import provenance
from reports.provenance import Match

#: A record comes with a file from anywhere, and could steer the terminal.
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_SAID: Final = {
    Match.UNCHANGED: "the picture is unchanged: without its record, the file is byte for byte what was stored",
    Match.METADATA: "the picture is unchanged; a program has written other metadata into the file",
    Match.CHANGED: "this is no longer the picture that the record is about: its content has another digest",
}


def show_file(path: Path, terminal: Terminal) -> None:
    """Show the record of a picture file; exit with 1 where the picture has changed.

    Raises:
        BadInput: it has no record, or can't be read.
    """
    found = provenance.read_provenance(path)
    if found is None:
        beside = provenance.sidecar_of(path).name
        raise BadInput(
            f"{str(path)!r} has no record of where it comes from, and there is no {beside!r} beside it;"
            " `likeness export` writes both"
        )
    where = "in the file" if found.embedded else f"in {provenance.sidecar_of(path).name}"
    terminal.document(
        {"path": str(path), "match": found.match, "in_words": _SAID[found.match], "embedded": found.embedded}
        | {"record": dict(found.record)}
    )
    style = "red" if found.match is Match.CHANGED else "green"
    terminal.show(_facts(found.record, where), "", Text(_SAID[found.match], style=style))
    if found.match is Match.CHANGED:
        raise typer.Exit(ENDED_OTHERWISE)


def _facts(record: Mapping[str, Any], where: str) -> Any:
    """The record as a table; it comes with a file from anywhere, so that anything may be missing or odd in it."""
    settings = record.get("settings")
    facts = facts_of()
    for label, value in {
        "prompt": record.get("prompt"),
        "sent": record.get("sent_prompt"),
        "theme": " / ".join(str(record[key]) for key in ("theme", "variation") if record.get(key)),
        "model": " by ".join(str(record[key]) for key in ("model", "provider") if record.get(key)),
        "settings": ", ".join(f"{key} {value}" for key, value in settings.items())
        if isinstance(settings, Mapping)
        else settings,
        "seed": record.get("seed"),
        "job": record.get("job_id"),
        "made": record.get("made_at"),
        "cost": _cost(record),
        "batch": f"{record.get('batch')}/{record.get('row')}, attempt {record.get('attempt')}",
        "generation": record.get("generation_id"),
        "sha256": record.get("sha256"),
        "record": where,
    }.items():
        if value is not None and value != "":
            facts.add_row(label, _text(value))
    checks = record.get("checks")
    for check in checks if isinstance(checks, list) else []:
        if isinstance(check, Mapping):
            facts.add_row("check", _text(_check(check)))
    return facts


def _text(value: Any) -> Text:
    return Text(_CONTROL.sub("\ufffd", str(value)), overflow="fold")


def _cost(record: Mapping[str, Any]) -> str | None:
    cost, whole = record.get("cost_usd"), record.get("generation_cost_usd")
    if cost is None:
        return None
    return f"{cost} USD" if whole in {None, cost} else f"{cost} USD, of {whole} USD with the other tries"


def _check(check: Mapping[str, Any]) -> str:
    scored = check.get("scored_by")
    model = scored.get("model") if isinstance(scored, Mapping) else None
    said = "passed" if check.get("passed") else "not passed"
    scores = ", ".join(f"{name} {check.get(name)} of {check.get(f'{name}_threshold')}" for name in ("core", "style"))
    return f"{check.get('character')}: {said}, {scores} ({check.get('thresholds')}; scored by {model})"
