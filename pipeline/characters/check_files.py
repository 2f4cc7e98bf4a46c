"""Check picture files of any origin against a character, immediately and without the queue."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Final
from uuid import UUID

from db.records.characters import CharacterRow, ReferenceRow
from domain.errors import BadInput, LikenessError, ScorerError
from domain.ids import CharacterId
from domain.verdict import DEFAULT, Origin, Thresholds, Verdict
from pipeline.characters import references
from pipeline.characters.picture_files import file_source
from pipeline.resources import Resources
from validation.base import Aggregation, Detail, Embedding
from validation.embedder import Embedded, Scoring, Source
from validation.similarity import compare

__all__ = ["Checked", "CheckedPicture", "Type", "check", "decided_by", "of_files", "read_type", "reference_embeddings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedPicture:
    """The result for one file: a verdict with its scores, or the reason why there is none."""

    path: Path
    verdict: Verdict | None = None
    detail: Detail | None = None
    failure: LikenessError | None = None

    @property
    def passed(self) -> bool:
        return self.verdict is not None and self.verdict.passed


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """The result of a check.

    Args:
        origin: what produced the scores.
        pictures: one per file, in the order given.
    """

    character: CharacterRow
    thresholds: Thresholds
    origin: Origin
    pictures: Sequence[CheckedPicture]

    @property
    def passed(self) -> int:
        return sum(one.passed for one in self.pictures)

    @property
    def unreadable(self) -> int:
        """Files that are not pictures, or could not be scored."""
        return sum(one.failure is not None for one in self.pictures)


#: Stands for the id of a character that is files alone.
_UNREGISTERED: Final = CharacterId(UUID(int=0))


class Type(StrEnum):
    """Which of the two scores decides."""

    CORE = "core"
    STYLE = "style"


def read_type(text: str) -> Type:
    """The score of that name.

    Raises:
        BadInput: there is none.
    """
    try:
        return Type(text.casefold())
    except ValueError:
        raise BadInput(f"{text!r} is no score that could decide; write 'core' or 'style'") from None


def of_files(paths: Sequence[Path], *, core: float, style: float) -> CharacterRow:
    """Reference files as a character that nobody has registered.

    Raises:
        BadInput: one cannot be read.
    """
    sources = [file_source(path) for path in paths]
    return CharacterRow(
        id=_UNREGISTERED,
        name="the reference files",
        description="",
        references=[
            ReferenceRow(position=at, sha256=one.sha256, r2_key=str(path), media_type="", width=0, height=0)
            for at, (path, one) in enumerate(zip(paths, sources, strict=True))
        ],
        thresholds=Thresholds(version=0, core=core, style=style, origin=DEFAULT),
    )


def decided_by(character: CharacterRow, only: Type | None) -> CharacterRow:
    """The character with one score that decides alone; None for what its thresholds say."""
    thresholds = character.thresholds
    if only is Type.CORE:
        return replace(character, thresholds=replace(thresholds, style_decides=False))
    if only is Type.STYLE:
        origin = f"{thresholds.origin}; only style decides"
        # The least that a cosine can be, so that the core score stands there and decides nothing.
        return replace(
            character, thresholds=replace(thresholds, core=-1.0, core_by_crops={}, style_decides=True, origin=origin)
        )
    return character


def check(
    resources: Resources,
    scoring: Scoring,
    character: CharacterRow,
    paths: Sequence[Path],
    *,
    core: float | None = None,
    style: float | None = None,
    each: Callable[[], None] = lambda: None,
) -> Checked:
    """Check every file against the character; a bad file does not affect the others.

    Args:
        character: registered, or of `of_files`.
        core, style: override the character's thresholds.
        each: called for every embedding, as it is made.

    Raises:
        BadInput: there is no file.
        ScorerError: the model cannot be loaded, or a reference cannot be used.
        ServiceMissing: a reference is not in the store of this machine.
    """
    if not paths:
        raise BadInput("there is no picture to check")
    sources = [_source(path) for path in paths]
    wanted = _references(resources, character)
    readable = [one for one in sources if isinstance(one, Source)]
    embedded = scoring.embedded([*wanted, *readable], each=each)
    against = reference_embeddings(embedded, wanted)
    thresholds = _overridden(character.thresholds, core=core, style=style)
    outcomes = [embedded.outcomes[one.sha256] if isinstance(one, Source) else one for one in sources]
    embeddings = [one for one in outcomes if isinstance(one, Embedding)]
    aggregation = Aggregation(character.aggregation)
    compared = iter(compare(embeddings, against, frame=embedded.model.frame, aggregation=aggregation))
    pictures: list[CheckedPicture] = []
    for path, outcome in zip(paths, outcomes, strict=True):
        if isinstance(outcome, Embedding):
            scores, detail = next(compared)
            verdict = Verdict(scores=scores, thresholds=thresholds.for_crops(detail.crops))
            pictures.append(CheckedPicture(path=path, verdict=verdict, detail=detail))
        else:
            pictures.append(CheckedPicture(path=path, failure=outcome))
    return Checked(
        character=character,
        thresholds=thresholds,
        origin=embedded.model.origin([one.sha256 for one in wanted]),
        pictures=pictures,
    )


def _overridden(thresholds: Thresholds, *, core: float | None, style: float | None) -> Thresholds:
    if core is None and style is None:
        return thresholds
    return replace(
        thresholds,
        core=thresholds.core if core is None else core,
        style=thresholds.style if style is None else style,
        origin="set for this call",
        core_by_crops={} if core is not None else thresholds.core_by_crops,
        style_decides=thresholds.style_decides or style is not None,
    )


def reference_embeddings(embedded: Embedded, wanted: Sequence[Source]) -> list[Embedding]:
    """The embeddings of a character's references, in order.

    Raises:
        ServiceMissing: one is not in the store of this machine.
        ScorerError: one cannot be used.
    """
    found: list[Embedding] = []
    for number, source in enumerate(wanted, start=1):
        outcome = embedded.outcomes[source.sha256]
        if isinstance(outcome, Embedding):
            found.append(outcome)
        elif outcome.exit_code > 2:
            raise outcome
        else:
            raise ScorerError(f"reference {number} of the character cannot be used: {outcome}") from outcome
    return found


def _references(resources: Resources, character: CharacterRow) -> list[Source]:
    if character.id == _UNREGISTERED:
        return [file_source(Path(one.r2_key)) for one in character.references]
    return references.sources_of(resources, character)


def _source(path: Path) -> Source | LikenessError:
    try:
        return file_source(path)
    except BadInput as failure:
        return failure
