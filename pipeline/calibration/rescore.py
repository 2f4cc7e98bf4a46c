"""Rescore finished generations: from stored embeddings after a change of thresholds, with the model after its change.

Processes generations in order of id, a chunk per transaction, so that an interrupted run can start over and come to the
same result. Skips, and reports, generations that are being worked on or whose pictures are not all available.
What finishing made is judged along with its generation, where it can be, and decides nothing about it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial

from db.moves import rescoring
from db.moves.rescoring import JudgedGeneration, Rejudged, StoredPicture
from db.moves.validation import NewVerdict
from db.records import characters
from db.records.characters import CharacterRow
from domain.errors import BadInput, LikenessError, PictureLost, UnfitPicture
from domain.ids import BatchId, CharacterId, GenerationId
from domain.states import GenerationState
from domain.verdict import Verdict, best_for_all, passed_by_all
from pipeline.characters import references
from pipeline.characters.check_files import reference_embeddings
from pipeline.characters.threshold_origin import Weights, misfits
from pipeline.resources import Resources
from reports.wording import describe_thresholds
from validation.base import Aggregation, Embedding
from validation.embedder import Embedded, Scoring, Source
from validation.similarity import compare

#: Generations per transaction: about a second of work.
_AT_ONCE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """A generation that was skipped, and why."""

    generation_id: GenerationId
    why: str


@dataclass(slots=True, kw_only=True)
class Rescored:
    """The result of a rescore, or of its dry run.

    Args:
        model: the model's name as configured.
        looked: finished generations with a verdict.
        unchanged: those whose verdicts stay the same.
        verdicts: number of new verdicts.
        accepted, rejected: generations that became completed, and rejected.
        left: those that were skipped.
        warnings: about thresholds that were fitted to another model.
    """

    model: str
    looked: int = 0
    unchanged: int = 0
    verdicts: int = 0
    accepted: list[GenerationId] = field(default_factory=list)
    rejected: list[GenerationId] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)
    warnings: set[str] = field(default_factory=set)


def rescore(
    resources: Resources,
    scoring: Scoring,
    *,
    batch_id: BatchId | None = None,
    character_id: CharacterId | None = None,
    dry_run: bool = False,
    each: Callable[[int], None] = lambda _: None,
) -> Rescored:
    """Judge every finished generation that has a character, by current thresholds and the model of `scoring`.

    Args:
        batch_id, character_id: restrict to these.
        dry_run: write no verdict and move nothing; new embeddings are cached all the same.
        each: called with the number of generations done, once per transaction.

    Raises:
        ModelUnloadable: an embedding is missing, and the model cannot be loaded.
        ServiceMissing, ScorerError: a reference is missing or cannot be used.
    """
    done = Rescored(model=scoring.name)
    after: GenerationId | None = None
    while True:
        with resources.database.transaction() as connection:
            chunk = rescoring.judged(
                connection, batch_id=batch_id, character_id=character_id, after=after, limit=_AT_ONCE
            )
            ids = {one for generation in chunk for one in generation.character_ids}
            whom = {one: characters.get(connection, one) for one in sorted(ids)}
        if not chunk:
            return done
        after = chunk[-1].id
        _judge(resources, scoring, chunk, whom, done, dry_run=dry_run)
        each(len(chunk))


def total(resources: Resources, *, batch_id: BatchId | None, character_id: CharacterId | None) -> int:
    """How many generations a rescore covers."""
    with resources.database.transaction() as connection:
        return rescoring.count(connection, batch_id=batch_id, character_id=character_id)


def _judge(
    resources: Resources,
    scoring: Scoring,
    chunk: Sequence[JudgedGeneration],
    whom: Mapping[CharacterId, CharacterRow],
    done: Rescored,
    *,
    dry_run: bool,
) -> None:
    done.looked += len(chunk)
    changes: list[Rejudged] = []
    wanted = {one: references.sources_of(resources, row) for one, row in whom.items()}
    found, lost = _embedded(resources, scoring, chunk, wanted)
    for model in {Weights(name=scoring.name, revision=one.model.revision) for _, one in found}:
        done.warnings |= misfits(whom.values(), scored_by=model)
    done.left += lost
    for generation, embedded in found:
        try:
            change = _rejudged(generation, embedded, whom, wanted)
        except (PictureLost, UnfitPicture) as failure:
            done.left.append(Left(generation_id=generation.id, why=str(failure)))
            continue
        if change is None:
            done.unchanged += 1
        else:
            changes.append(change)
    states = {generation.id: generation.state for generation in chunk}
    if dry_run:
        moved = {change.generation_id: (states[change.generation_id], change.target) for change in changes}
    else:
        with resources.database.transaction() as connection:
            moved = rescoring.rejudge(connection, changes, detail={"model": scoring.name})
    for change in changes:
        if change.generation_id not in moved:
            done.left.append(Left(generation_id=change.generation_id, why="another process has taken it up meanwhile"))
            continue
        done.verdicts += len(change.found)
        _count(done, change.generation_id, *moved[change.generation_id])


def _count(done: Rescored, generation_id: GenerationId, before: GenerationState, now: GenerationState) -> None:
    if before != now:
        (done.accepted if now is GenerationState.COMPLETED else done.rejected).append(generation_id)


def _embedded(
    resources: Resources,
    scoring: Scoring,
    chunk: Sequence[JudgedGeneration],
    wanted: Mapping[CharacterId, Sequence[Source]],
) -> tuple[list[tuple[JudgedGeneration, Embedded]], list[Left]]:
    """Pair each generation with the embeddings of its pictures and references, all of one model; list those without.

    The model is not loaded for generations whose originals are gone.
    """

    def sources(generations: Sequence[JudgedGeneration], *, finished: bool = True) -> list[Source]:
        ids = dict.fromkeys(one for generation in generations for one in generation.character_ids)
        pictures = [one for generation in generations for one in generation.pictures if finished or not one.finished]
        return [*(source for one in ids for source in wanted[one]), *(_source(resources, one) for one in pictures)]

    whole = scoring.known(sources(chunk))
    if whole is not None:
        return [(generation, whole) for generation in chunk], []
    # Workers of different precision share a batch; each generation was embedded by one of them, its finished picture
    # perhaps by another: that is no reason to load the model.
    known = {one.id: scoring.known(sources([one])) or scoring.known(sources([one], finished=False)) for one in chunk}
    unknown = [generation for generation in chunk if known[generation.id] is None]
    gone = {generation.id: _gone(resources, generation) for generation in unknown}
    rest = [generation for generation in unknown if gone[generation.id] is None]
    made = scoring.embedded(sources(rest)) if rest else None
    found = [(one, known[one.id] or made) for one in chunk if gone.get(one.id) is None]
    lost = [
        Left(generation_id=one, why=f"its original {key!r} is gone") for one, key in gone.items() if key is not None
    ]
    return [(generation, embedded) for generation, embedded in found if embedded is not None], lost


def _gone(resources: Resources, generation: JudgedGeneration) -> str | None:
    """The key of an original that is certainly missing; with a bucket only a read can tell."""
    if resources.store.publishes:
        return None
    for picture in (one for one in generation.pictures if not one.finished):
        try:
            path = resources.store.path_of(picture.r2_key)
        except BadInput:
            return picture.r2_key
        if path is not None and not path.exists():
            return picture.r2_key
    return None


def _source(resources: Resources, picture: StoredPicture) -> Source:
    def read(key: str) -> bytes:
        try:
            return resources.store.get(key)
        except OSError as error:
            raise PictureLost(f"the original {key!r} cannot be read: {error}") from error

    return Source(sha256=picture.sha256, read=partial(read, picture.r2_key))


def _rejudged(
    generation: JudgedGeneration,
    embedded: Embedded,
    whom: Mapping[CharacterId, CharacterRow],
    wanted: Mapping[CharacterId, Sequence[Source]],
) -> Rejudged | None:
    """The generation's new verdicts and state; None where its verdicts are up to date.

    Raises:
        PictureLost: an original is gone; the others are not judged either, because they are compared with it.
        UnfitPicture: none of its pictures can be scored.
    """
    originals = [one for one in generation.pictures if not one.finished and _usable(one, embedded)]
    if not originals:
        raise UnfitPicture("none of its pictures can be scored")
    # Nothing is compared with a finished picture, so that one without an embedding keeps the verdict that it has.
    finished = [
        one for one in generation.pictures if one.finished and isinstance(embedded.outcomes.get(one.sha256), Embedding)
    ]
    pictures = [*originals, *finished]
    found: list[tuple[CharacterId, NewVerdict]] = []
    for one in generation.character_ids:
        against = reference_embeddings(embedded, wanted[one])
        found += [(one, new) for new in _verdicts(pictures, whom[one], embedded, against)]
    if all(_same(picture, found) for picture in pictures):
        return None
    by_picture = [[new.verdict for _, new in found if new.asset_id == one.asset_id] for one in pictures]
    winner = best_for_all(by_picture[: len(originals)])
    passed = passed_by_all(by_picture[winner])
    return Rejudged(
        generation_id=generation.id,
        seen_at=generation.seen_at,
        found=found,
        best=originals[winner].asset_id,
        target=GenerationState.COMPLETED if passed else GenerationState.REJECTED,
        reason="; ".join(_told(whom[one]) for one in generation.character_ids),
        finished={
            one.asset_id: passed_by_all(verdicts)
            for one, verdicts in zip(pictures, by_picture, strict=True)
            if one.finished
        },
    )


def _told(character: CharacterRow) -> str:
    now = character.thresholds
    return f"{character.name!r} by thresholds of version {now.version} ({describe_thresholds(now)})"


def _usable(picture: StoredPicture, embedded: Embedded) -> bool:
    outcome = embedded.outcomes[picture.sha256]
    if isinstance(outcome, PictureLost):
        raise outcome
    if isinstance(outcome, LikenessError) and not isinstance(outcome, UnfitPicture):
        raise PictureLost(f"picture {picture.r2_key!r} cannot be scored now: {outcome}")
    return isinstance(outcome, Embedding)


def _verdicts(
    pictures: Sequence[StoredPicture], character: CharacterRow, embedded: Embedded, against: Sequence[Embedding]
) -> list[NewVerdict]:
    outcomes = [embedded.outcomes[one.sha256] for one in pictures]
    embeddings = [one for one in outcomes if isinstance(one, Embedding)]
    compared = compare(embeddings, against, frame=embedded.model.frame, aggregation=Aggregation(character.aggregation))
    origin = embedded.model.origin([row.sha256 for row in character.references])
    return [
        NewVerdict(
            asset_id=picture.asset_id,
            verdict=Verdict(scores=scores, thresholds=character.thresholds.for_crops(detail.crops)),
            origin=origin,
            readings=asdict(detail),
        )
        for picture, (scores, detail) in zip(pictures, compared, strict=True)
    ]


def _same(picture: StoredPicture, found: Sequence[tuple[CharacterId, NewVerdict]]) -> bool:
    """Whether the picture's verdicts were made by the same model, references and version of the thresholds."""
    for character_id, new in found:
        if new.asset_id != picture.asset_id:
            continue
        row = picture.verdicts.get(character_id)
        if row is None or row["core_raw"] is None:
            return False
        if row["origin"] != asdict(new.origin) or row["threshold_version"] != new.verdict.thresholds.version:
            return False
    return True
