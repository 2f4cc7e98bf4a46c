"""Characters for scripts: add, look up, move between installations, check pictures against, calibrate."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from domain.access import Actor
from domain.errors import BadInput
from domain.verdict import DEFAULT
from likeness.records import CheckedPicture
from pipeline.calibration import calibrate
from pipeline.calibration.calibrate import Calibration
from pipeline.calibration.examples import gather
from pipeline.characters import character_folder, check_files, definitions
from pipeline.characters.definitions import CharacterRow, NewCharacter
from pipeline.characters.picture_files import picture_files
from pipeline.process.embedding_cache import KeptEmbeddings
from pipeline.resources import Resources
from reports.wording import thresholds_origin
from runtime.scoring import open_scoring
from runtime.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Character:
    """A character as it stands.

    Args:
        references: how many pictures it has.
        version: of its thresholds, from 1.
        thresholds_from: `default threshold`, `calibrated (...)`, or who set them.
        fitted_to: the scoring model that they were fitted to; None for thresholds that nobody fitted.
    """

    name: str
    description: str
    references: int
    core: float
    style: float
    style_decides: bool
    aggregation: str
    version: int
    thresholds_from: str
    fitted_to: str | None


class Checking(Protocol):
    """What a connection lends to the methods of this module."""

    resources: Resources

    @property
    def settings(self) -> Settings: ...


class Characters:
    """The methods of a connection that are about characters."""

    def characters(self: Checking) -> Sequence[Character]:
        """All of them, by name."""
        return [_told(one) for one in definitions.list_characters(self.resources)]

    def character(self: Checking, name: str) -> Character:
        """The character of that name.

        Raises:
            RequestError: there is none.
        """
        return _told(definitions.find(self.resources, name))

    def add_character(
        self: Checking,
        name: str,
        references: Sequence[str | Path],
        *,
        description: str = "",
        core: float | None = None,
        style: float | None = None,
    ) -> Character:
        """Add a character, or replace the references and thresholds of an existing one.

        Args:
            references: files, folders, or patterns; the best first.
            core, style: thresholds instead of the default ones.

        Raises:
            RequestError: a reference cannot be used; nothing was written.
        """
        new = NewCharacter(
            name=name,
            description=description,
            references=picture_files(references),
            core=self.settings.clip_threshold_core if core is None else core,
            style=self.settings.clip_threshold_style if style is None else style,
            origin=DEFAULT if core is None and style is None else "set by a person",
        )
        return _told(definitions.add(self.resources, new, by=Actor(name=self.settings.user)))

    def export_character(self: Checking, name: str, folder: str | Path) -> Character:
        """Write a character into a folder: references, thresholds, calibration, description.

        Raises:
            RequestError: there is none of that name, or the folder holds something else.
        """
        return _told(character_folder.export_folder(self.resources, name, Path(folder)))

    def import_character(
        self: Checking, folder: str | Path, *, name: str | None = None, replace: bool = False
    ) -> Character:
        """Read a character from a folder, after checking that its references are the ones that were exported.

        Args:
            name: another one than its own.
            replace: also where there is one of that name.

        Raises:
            RequestError: the folder, a reference or the name cannot be used; nothing was written.
        """
        by = Actor(name=self.settings.user)
        return _told(character_folder.import_folder(self.resources, Path(folder), name=name, replace=replace, by=by))

    def validate(
        self: Checking,
        images: Sequence[str | Path],
        *,
        character: str | None = None,
        references: Sequence[str | Path] = (),
        decides: str | None = None,
        core: float | None = None,
        style: float | None = None,
    ) -> Sequence[CheckedPicture]:
        """Check pictures against a character, or reference files, at once, without the queue and without a worker.

        Args:
            images: files, folders, or patterns; a file that is no picture says so and concerns no other.
            references: instead of a character's; files, folders, or patterns.
            decides: `core` or `style`, the only score that does.
            core, style: thresholds instead of the character's.

        Raises:
            RequestError: one of `images` names nothing, or there is no such character.
            LikenessError: the model cannot be loaded; the sentence says what to do.
        """
        paths = picture_files(images)
        only = None if decides is None else check_files.read_type(decides)
        found = check_files.decided_by(_against(self, character, references), only)
        kept = KeptEmbeddings(self.resources.database)
        with open_scoring(self.settings, kept=kept) as scoring:
            done = check_files.check(self.resources, scoring, found, paths, core=core, style=style)
        return [
            CheckedPicture(
                path=one.path,
                passed=one.passed,
                core=one.verdict.scores.core if one.verdict else None,
                style=one.verdict.scores.style if one.verdict else None,
                core_threshold=done.thresholds.core,
                style_threshold=done.thresholds.style,
                style_decides=done.thresholds.style_decides,
                threshold_version=done.thresholds.version,
                thresholds_from=thresholds_origin(done.thresholds),
                error=str(one.failure) if one.failure else None,
            )
            for one in done.pictures
        ]

    def calibrate(
        self: Checking,
        character: str,
        *,
        positives: Path | None = None,
        negatives: Path | None = None,
        apply: bool = False,
    ) -> Calibration:
        """How well the check tells a character from others, with the thresholds that are recommended.

        Args:
            positives, negatives: folders of pictures that show it and that do not; None: what is certain unlooked.
            apply: make the recommended thresholds a new version.

        Raises:
            RequestError: there is no such character or nothing to hold it against, or too little to `apply` it.
            LikenessError: the model cannot be loaded; the sentence says what to do.
        """
        examples = gather(self.resources, character, positives=positives, negatives=negatives)
        kept = KeptEmbeddings(self.resources.database)
        with open_scoring(self.settings, kept=kept) as scoring:
            alike = self.settings.near_duplicate
            found = calibrate.calibrate(examples, scoring, alike=alike, today=datetime.now(UTC).date())
        if apply:
            calibrate.apply(self.resources, found, by=Actor(name=self.settings.user))
        return found


def _against(connection: Checking, character: str | None, references: Sequence[str | Path]) -> CharacterRow:
    if (character is None) == (not references):
        raise BadInput("name whom the pictures must show: either a character or references")
    if character is not None:
        return definitions.find(connection.resources, character)
    settings, files = connection.settings, picture_files(references)
    return check_files.of_files(files, core=settings.clip_threshold_core, style=settings.clip_threshold_style)


def _told(one: CharacterRow) -> Character:
    return Character(
        name=one.name,
        description=one.description,
        references=len(one.references),
        core=one.thresholds.core,
        style=one.thresholds.style,
        style_decides=one.thresholds.style_decides,
        aggregation=one.aggregation,
        version=one.thresholds.version,
        thresholds_from=thresholds_origin(one.thresholds),
        fitted_to=one.fitted_to,
    )
