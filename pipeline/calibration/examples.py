"""Collect examples for calibration: pictures that show a character, and pictures that do not.

They come from folders that the user names. Otherwise from what is certain: the references show the character;
references and completed pictures of other characters do not; and users have marked some pictures (`likeness feedback`).
The check's own verdicts are not used, because thresholds fitted to them would only confirm themselves.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from db.reads import calibration as stored
from db.reads.calibration import OtherPicture
from db.records import characters, feedback
from db.records.characters import CharacterRow
from db.records.feedback import JudgedPicture
from domain.errors import BadInput
from domain.ids import GenerationId
from pipeline.characters import references
from pipeline.characters.picture_files import file_source, picture_files
from pipeline.resources import Resources
from validation.embedder import Source

#: More examples of a kind hardly narrow the intervals.
MOST_EXAMPLES = 2000
#: Limits: completed pictures per other character, and pictures of all other characters.
_EACH_OTHER = 50
_MOST_OTHERS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One picture of a set.

    Args:
        named: the file name, or another description for users.
        kind: its source, as counted in the report.
        generation_id: its generation; several pictures of one generation count once.
    """

    source: Source
    named: str
    kind: str
    generation_id: GenerationId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """Both sets, and the references that they are compared with; no picture is in both.

    Args:
        references: in the character's order.
        notes: remarks for the user on how the sets were chosen.
    """

    character: CharacterRow
    references: Sequence[Source]
    positives: Sequence[Example]
    negatives: Sequence[Example]
    notes: Sequence[str] = ()

    @property
    def sources(self) -> list[Source]:
        """Every picture to embed."""
        return [*self.references, *(one.source for one in (*self.positives, *self.negatives))]

    def counts(self) -> dict[str, dict[str, int]]:
        """How many examples of each kind, by set."""
        sets = {"positives": self.positives, "negatives": self.negatives}
        return {name: dict(Counter(one.kind for one in examples)) for name, examples in sets.items()}


def gather(
    resources: Resources, name: str, *, positives: Path | None = None, negatives: Path | None = None
) -> Examples:
    """Collect the examples for a character.

    Args:
        positives: folder of pictures that show it; None for its references, each compared with the others, and
            pictures that users accepted.
        negatives: folder of pictures that do not; None for pictures of other characters, and those that users rejected.

    Raises:
        UnknownThing: there is no such character.
        BadInput: a folder cannot be used, a picture is in both sets, or there is nothing for one of them.
    """
    with resources.database.transaction() as connection:
        character = characters.find(connection, name)
        judged = feedback.judged_by_people(connection, character.id, most=MOST_EXAMPLES)
    wanted = references.sources_of(resources, character)
    accepted, rejected = (_by_people(resources, character, judged, accepted=word) for word in (True, False))
    showing = _own(character, wanted, accepted) if positives is None else _folder(positives)
    own = {one.source.sha256 for one in showing} | {one.sha256 for one in wanted}
    notes: list[str] = []
    if negatives is None:
        known = [*rejected, *_others(resources, character, notes)]
        others = [one for one in _once(known) if one.source.sha256 not in own]
    else:
        others = _folder(negatives)
    for one in others:
        if one.source.sha256 in own:
            raise BadInput(f"{one.named!r} is given as another picture, and it is one of {name!r}")
    if not others:
        raise BadInput(f"nothing shows anybody but {name!r} yet: name a folder of other pictures with --negatives")
    return Examples(character=character, references=wanted, positives=showing, negatives=others, notes=notes)


def _by_people(
    resources: Resources, character: CharacterRow, judged: Sequence[JudgedPicture], *, accepted: bool
) -> list[Example]:
    word = "accepted" if accepted else "rejected"
    return _once(
        Example(
            source=Source(sha256=one.sha256, read=_from_store(resources, one.r2_key)),
            named=f"a picture {word} for {character.name}",
            kind=f"pictures {word} by a person",
            generation_id=one.generation_id,
        )
        for one in judged
        if one.accepted is accepted
    )


def _own(character: CharacterRow, wanted: Sequence[Source], accepted: Sequence[Example]) -> list[Example]:
    """Positives without a folder; a single reference cannot be compared with others."""
    found = _once(
        Example(
            source=source, named=f"reference {number} of {character.name}", kind="references, each left out in turn"
        )
        for number, source in enumerate(wanted, start=1)
    )
    if len(found) < 2 and not accepted:
        raise BadInput(
            f"{character.name!r} has one reference, which cannot be held against others:"
            " name a folder of pictures that show it with --positives"
        )
    # A reference that was also accepted as a result stays a reference.
    return _once([*accepted, *(found if len(found) > 1 else ())])


def _others(resources: Resources, character: CharacterRow, notes: list[str]) -> list[Example]:
    with resources.database.transaction() as connection:
        found = stored.pictures_of_others(connection, character.id, each=_EACH_OTHER, most=_MOST_OTHERS)
        twins = stored.same_under_other_names(connection, character.id)
    notes += [f"{twin!r} shares a reference with {character.name!r} and is left out" for twin in twins]
    return _once(_other(resources, one) for one in found)


def _other(resources: Resources, one: OtherPicture) -> Example:
    what = "reference" if one.reference else "picture"
    return Example(
        source=Source(sha256=one.sha256, read=_from_store(resources, one.r2_key)),
        named=f"a {what} of {one.character}",
        kind=f"{what}s of {one.character}",
    )


def _folder(folder: Path) -> list[Example]:
    if not folder.is_dir():
        raise BadInput(f"{str(folder)!r} is no folder")
    files = picture_files([folder])
    if len(files) > MOST_EXAMPLES:
        raise BadInput(f"{str(folder)!r} has {len(files):,} pictures; {MOST_EXAMPLES:,} say as much")
    return _once(Example(source=file_source(file), named=str(file), kind=f"in {folder}") for file in files)


def _once(examples: Iterable[Example]) -> list[Example]:
    """Remove repeated files: the same picture is one example."""
    return list({one.source.sha256: one for one in examples}.values())


def _from_store(resources: Resources, key: str) -> Callable[[], bytes]:
    return partial(resources.store.get, key)
