"""The characters of one picture: how people name several of them, and who they are."""

from collections.abc import Iterable, Sequence

from db.records import characters
from db.records.characters import CharacterRow
from domain.errors import BadInput
from pipeline.resources import Resources

#: Between names, in a cell of a prompt file and in the order of a batch; no name has one.
BETWEEN = ";"


def split_names(text: str | None) -> list[str]:
    """The names in `A;B`, each once, in their order."""
    return list(dict.fromkeys(name.strip() for name in (text or "").split(BETWEEN) if name.strip()))


def join_names(names: str | Iterable[str] | None) -> str | None:
    """One name or several, as a row writes them; None for none."""
    return BETWEEN.join(split_names(names if isinstance(names, str) else BETWEEN.join(names or ()))) or None


def check_name(name: str) -> None:
    """Refuse what would be read as several names.

    Raises:
        BadInput: the name is blank or has a semicolon.
    """
    if not name.strip():
        raise BadInput("a character needs a name")
    if BETWEEN in name:
        raise BadInput(f"{name!r} would be read as several characters; leave {BETWEEN!r} out of the name")


def find_all(resources: Resources, text: str | None) -> Sequence[CharacterRow]:
    """The characters that `A;B` names, in their order.

    Raises:
        UnknownThing: one of them does not exist.
    """
    with resources.database.transaction() as connection:
        return [characters.find(connection, name) for name in split_names(text)]
