"""Parse and join the names of several characters in one picture (`A;B`), and look them up."""

from collections.abc import Iterable, Sequence

from db.records import characters
from db.records.characters import CharacterRow
from domain.access import LOCAL_TEAM
from domain.errors import BadInput
from pipeline.resources import Resources

#: Separates names in a prompt file and on the command line; no name may contain it.
BETWEEN = ";"


def split_names(text: str | None) -> list[str]:
    """Split `A;B` into names, without repetitions, in order."""
    return list(dict.fromkeys(name.strip() for name in (text or "").split(BETWEEN) if name.strip()))


def join_names(names: str | Iterable[str] | None) -> str | None:
    """Join names as a prompt file writes them; None for none."""
    return BETWEEN.join(split_names(names if isinstance(names, str) else BETWEEN.join(names or ()))) or None


def check_name(name: str) -> None:
    """Refuse a name that would be read as several.

    Raises:
        BadInput: the name is blank or has a semicolon.
    """
    if not name.strip():
        raise BadInput("a character needs a name")
    if BETWEEN in name:
        raise BadInput(f"{name!r} would be read as several characters; leave {BETWEEN!r} out of the name")


def find_all(resources: Resources, text: str | None, *, team: str = LOCAL_TEAM) -> Sequence[CharacterRow]:
    """Look up the characters of `A;B`, in order.

    Raises:
        UnknownThing: the team has none of that name.
    """
    with resources.database.transaction() as connection:
        return [characters.find(connection, name, team=team) for name in split_names(text)]
