"""Check the pictures of one attempt against its character, and let the best one decide."""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from typing import Any

from db.moves import validation
from db.moves.grouped_pictures import CheckClaim, Judged
from db.moves.rows import hand_back
from db.moves.validation import Check, NewVerdict, StoredInput
from db.reads.work import Lease, Work
from db.records import closed_loop as try_policies
from db.records import embeddings as kept_embeddings
from db.records.closed_loop import Decision, mark_best
from db.records.embeddings import Stored
from db.records.preferences import write_rewards
from domain.disposition import Step
from domain.errors import LikenessError, ModelUnloadable, OutOfMemory, ScorerError, ServiceMissing, UnfitPicture
from domain.ids import AssetId, AttemptId
from domain.states import AttemptKind, GenerationState
from domain.verdict import Origin, Verdict, best_for_all
from pipeline.attempts import failures
from pipeline.attempts.claims import passing_the_gate
from pipeline.attempts.outcome import Again
from pipeline.characters import references
from pipeline.characters.threshold_origin import Weights, fitted_to, misfit
from pipeline.learning import preferences
from pipeline.requests import closed_loop
from pipeline.resources import Resources
from validation.base import Aggregation, Embedding, ModelInput, Reference, Scored
from validation.similarity import alignment

log = logging.getLogger(__name__)


def validate(resources: Resources, attempt_id: AttemptId) -> Again | None:
    """Carry an attempt from stored pictures to a verdict.

    Raises:
        ModelUnloadable: this process has no scorer.
    """
    if resources.scorer is None:
        raise ModelUnloadable("this process has no scorer; the check runs in a worker of the gpu role")

    fingerprint = resources.scorer.fingerprint

    def claim(lease: Lease) -> Check | None:
        asked = CheckClaim(attempt_id=attempt_id, lease=lease, fingerprint=fingerprint)
        return resources.grouped.validations.do(resources.database, asked)

    def claim_alone(lease: Lease) -> Check | None:
        with resources.database.transaction() as connection:
            work = validation.claim(connection, attempt_id, lease=lease)
            return validation.checks_of(connection, [work], fingerprint=fingerprint)[0]

    return passing_the_gate(
        resources,
        attempt_id,
        Step.VALIDATING,
        claim=claim,
        claim_alone=claim_alone,
        work_on=partial(_traced, resources),
    )


def _traced(resources: Resources, taken: Check, lease: Lease) -> Again | None:
    with resources.traces.step("validate", taken.work):
        return _validate(resources, taken, lease)


def _validate(resources: Resources, check: Check, lease: Lease) -> Again | None:
    work = check.work
    assert resources.scorer is not None
    if any(one.preprocessing != resources.scorer.preprocessing for one in check.inputs):
        _ask_for_inputs(resources, work, lease)
        return None
    resources.fault_points.reach("validate.claimed")
    assert work.character_id is not None
    try:
        found, embeddings = _verdicts(resources, check)
    except (ServiceMissing, ScorerError) as failure:
        return _failed(resources, work, lease, failure)
    resources.device_backoff.over()
    resources.fault_points.reach("validate.scored")
    winner = _winner(found)
    aligned = _aligned(resources, work, embeddings)
    tries_again = work.kind is AttemptKind.IMAGE and not winner.verdict.passed and check.policy.on
    further = closed_loop.decide(resources, work, winner) if tries_again else None
    findings = _Findings(
        verdicts=found, winner=winner, aligned=aligned, new_embeddings=_new_embeddings(check, embeddings)
    )
    reached = _write(resources, work, lease, findings, further=further)
    if reached is GenerationState.QUEUED:
        resources.fault_points.reach("validate.queued_again")
    resources.fault_points.reach("validate.judged")
    _rank_by_taste(resources, work, embeddings, winner.origin)
    resources.near_duplicates.look(resources.database, work.batch_id, origin=winner.origin)
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Findings:
    """What a check found out.

    Args:
        winner: of `verdicts`.
        aligned: how near each picture is to what was asked for.
        new_embeddings: by digest of the picture; not kept yet.
    """

    verdicts: Sequence[NewVerdict]
    winner: NewVerdict
    aligned: Mapping[AssetId, float]
    new_embeddings: Mapping[str, Stored]


def _write(
    resources: Resources, work: Work, lease: Lease, findings: _Findings, *, further: Decision | None
) -> GenerationState:
    """Write the verdicts and what they decide, and keep the embeddings that were made for them."""
    assert resources.scorer is not None
    fingerprint = resources.scorer.fingerprint
    found, winner = findings.verdicts, findings.winner
    passed = all(one.verdict.passed for one in found if one.asset_id == winner.asset_id)
    if further is None:
        judged = Judged(
            attempt_id=work.attempt_id,
            token=lease.token,
            found=found,
            best=winner.asset_id,
            passed=passed,
            alignments=findings.aligned,
            new_embeddings=findings.new_embeddings,
            fingerprint=fingerprint,
        )
        if (reached := resources.grouped.judged.do(resources.database, judged)) is not None:
            return reached
        if not passed and work.kind is AttemptKind.IMAGE and _allowed_since(resources, work):
            further = closed_loop.decide(resources, work, winner)
    assert work.character_id is not None
    with resources.database.transaction() as connection:
        kept_embeddings.put_many(connection, findings.new_embeddings, fingerprint=fingerprint)
        reached = validation.judged(
            connection,
            work.attempt_id,
            token=lease.token,
            character_id=work.character_id,
            found=found,
            best=winner.asset_id,
            further=further,
        )
        validation.align(connection, findings.aligned, origin=winner.origin)
    return reached


def _new_embeddings(check: Check, embeddings: Mapping[AssetId, Embedding]) -> dict[str, Stored]:
    """By digest of the picture: those that were not kept when the check was claimed."""
    return {
        one.sha256: (made.core, made.style, made.further)
        for one in check.inputs
        if one.embedding is None and (made := embeddings.get(one.asset_id)) is not None
    }


def _allowed_since(resources: Resources, work: Work) -> bool:
    """Whether further tries were allowed after the claim, which had found none."""
    with resources.database.transaction() as connection:
        return try_policies.policy_of(connection, work.generation_id).on


def _rank_by_taste(resources: Resources, work: Work, embeddings: Mapping[AssetId, Embedding], origin: Origin) -> None:
    """Among pictures that pass, the one that is liked most stands for the generation; it decides nothing else.

    After the verdict, which is paid for and must not wait: a death here loses the ranking and nothing more.
    """
    if not embeddings or work.kind is not AttemptKind.IMAGE:
        return
    head = preferences.usable_head(resources, preferences.fingerprint_in(asdict(origin)), batch_id=work.batch_id)
    if head is None:
        return
    vectors = {asset_id: one.core for asset_id, one in embeddings.items()}
    rewards = preferences.rewards_of(head, vectors, user_id=work.user_id)
    with resources.database.transaction() as connection:
        if write_rewards(connection, work.generation_id, rewards, head=head.digest):
            mark_best(connection, work.generation_id)


def _failed(resources: Resources, work: Work, lease: Lease, failure: LikenessError) -> Again | None:
    known: dict[str, Any] = {}
    if isinstance(failure, OutOfMemory):
        known["device_wait"] = resources.device_backoff.wait()
    return failures.settle(resources, work, failure, step=Step.VALIDATING, token=lease.token, **known)


def _ask_for_inputs(resources: Resources, work: Work, lease: Lease) -> None:
    """The inputs went with a crash of Postgres, or suit another model: an I/O worker makes them from the originals."""
    with resources.database.transaction() as connection:
        hand_back(connection, work.attempt_id, token=lease.token)
    resources.dispatch.rebuild_inputs(attempt_id=work.attempt_id, generation_id=work.generation_id)


def _verdicts(resources: Resources, check: Check) -> tuple[list[NewVerdict], Mapping[AssetId, Embedding]]:
    """One verdict for each picture and character, and the embeddings: a picture is embedded once for all of them.

    Raises:
        UnfitPicture, OutOfMemory, ScorerBroken, ScorerError: as `_score`.
        ServiceMissing: a reference is not in the store of this machine.
    """
    found: list[NewVerdict] = []
    embeddings: dict[AssetId, Embedding] = {}
    for character in check.characters:
        pictures = references.pictures_of(resources, character)
        scored = _score(resources, check.inputs, pictures, aggregation=Aggregation(character.aggregation))
        origin = scored[0][1].origin
        _tell_of_misfit(character.name, fitted_to(character), Weights(name=origin.model, revision=origin.revision))
        embeddings |= {one.asset_id: score.embedding for one, score in scored if score.embedding is not None}
        found += [
            NewVerdict(
                asset_id=one.asset_id,
                character_id=character.id,
                verdict=Verdict(
                    scores=score.scores,
                    thresholds=character.thresholds.for_crops(score.detail.crops if score.detail is not None else 1),
                ),
                origin=score.origin,
                readings=asdict(score.detail) if score.detail is not None else {},
            )
            for one, score in scored
        ]
    return found, embeddings


@lru_cache(maxsize=256)
def _tell_of_misfit(name: str, fitted_to: Weights | None, scored_by: Weights) -> None:
    """Once per worker: a verdict is still made, and says itself what it was made with."""
    if (warning := misfit(name, fitted_to=fitted_to, scored_by=scored_by)) is not None:
        log.warning("%s", warning)


def _aligned(resources: Resources, work: Work, embeddings: Mapping[AssetId, Embedding]) -> dict[AssetId, float]:
    """How near each picture is to what was asked for; nothing where the model cannot read, for it decides nothing."""
    assert resources.scorer is not None
    try:
        told = resources.scorer.embed_text(without_flags(work.prompt)) if embeddings else None
    except ScorerError as failure:
        log.warning("the prompt of attempt %s cannot be read: %s", work.attempt_id, failure)
        return {}
    return {} if told is None else dict(zip(embeddings, alignment(told, list(embeddings.values())), strict=True))


def without_flags(prompt: str) -> str:
    """What a prompt says to a reader: without Midjourney's flags at its end and without addresses."""
    said = re.split(r"(?:^|\s)--(?=[a-z])", prompt, maxsplit=1, flags=re.IGNORECASE)[0]
    return " ".join(re.sub(r"https?://\S+", " ", said).split())


def _winner(found: Sequence[NewVerdict]) -> NewVerdict:
    """The best picture, by the verdict of the character that it meets least well."""
    by_picture: dict[AssetId, list[NewVerdict]] = {}
    for one in found:
        by_picture.setdefault(one.asset_id, []).append(one)
    pictures = list(by_picture.values())
    best = pictures[best_for_all([[one.verdict for one in verdicts] for verdicts in pictures])]
    return min(best, key=lambda one: one.verdict.margin)


def _score(
    resources: Resources, inputs: Sequence[StoredInput], pictures: Sequence[Reference], *, aggregation: Aggregation
) -> list[tuple[StoredInput, Scored]]:
    """Scores of the pictures that can be scored.

    Raises:
        UnfitPicture: none can.
        OutOfMemory, ScorerBroken: the device, and no picture, is what fails.
        ScorerError: the references are no use.
    """
    assert resources.scorer is not None
    ready = [_ready(one) for one in inputs]
    try:
        return list(zip(inputs, resources.scorer.score(ready, pictures, aggregation=aggregation), strict=True))
    except UnfitPicture as failure:
        if len(ready) == 1:
            raise
        log.warning("one of %d pictures cannot be scored (%s); each is tried by itself", len(ready), failure)
    scored, last = [], UnfitPicture("no picture can be scored")
    for stored, one in zip(inputs, ready, strict=True):
        try:
            scored.append((stored, resources.scorer.score([one], pictures, aggregation=aggregation)[0]))
        except UnfitPicture as failure:
            last = failure
    if not scored:
        raise last
    return scored


def _ready(stored: StoredInput) -> ModelInput:
    assert stored.pixels is not None
    assert stored.size is not None
    assert stored.preprocessing is not None
    known = None
    if stored.embedding is not None:
        core, style, further = stored.embedding
        known = Embedding(core=core, style=style, further=further)
    return ModelInput(
        pixels=stored.pixels,
        size=stored.size,
        preprocessing=stored.preprocessing,
        source=stored.sha256,
        embedding=known,
    )
