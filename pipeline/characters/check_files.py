"""Check picture files of any origin against a character, immediately and without the queue."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from db.records.characters import CharacterRow
from domain.errors import BadInput, LikenessError, ScorerError
from domain.verdict import Origin, Thresholds, Verdict
from pipeline.characters import references
from pipeline.characters.picture_files import file_source
from pipeline.resources import Resources
from validation.base import Aggregation, Detail, Embedding
from validation.embedder import Embedded, Scoring, Source
from validation.similarity import compare

__all__ = ["Checked", "CheckedPicture", "check", "reference_embeddings"]


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
    wanted = references.sources_of(resources, character)
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
            verdict = Verdict(scores=scores, thresholds=thresholds)
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


def _source(path: Path) -> Source | LikenessError:
    try:
        return file_source(path)
    except BadInput as failure:
        return failure
