"""Fit a character's thresholds to pictures that show it and pictures that do not.

`validation.calibration` computes the figures; this module selects the scores and derives the thresholds. Core decides
whether the result counts as calibrated, and its cut lies between the two sets. Style gets only a floor, because the
negatives are other characters and say nothing about other styles (`docs/decisions/0018-recommended-cut.md`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from statistics import median
from typing import Any

from db.reads import calibration as stored
from db.reads.calibration import ThresholdVersion
from db.records import acts, characters
from db.records.characters import CharacterRow, NewThresholds
from domain.access import LOCAL_TEAM, Actor
from domain.errors import BadInput
from domain.ids import CharacterId
from domain.verdict import Aspect, Scores
from pipeline.calibration.examples import Examples
from pipeline.calibration.scored_examples import Scored, scored, values_of
from pipeline.characters.check_files import reference_embeddings
from pipeline.characters.definitions import told_of
from pipeline.characters.threshold_origin import Weights, describe_fitted, fitted_to
from pipeline.resources import Resources
from reports.separation import Cut, Separation
from validation.base import Aggregation
from validation.calibration import Errors, Examined, Rule, examine, roc
from validation.crops import cuts_by_crops
from validation.embedder import Scoring, ScoringModel

__all__ = ["Calibration", "ThresholdVersion", "apply", "as_json", "calibrate", "separations", "versions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CombinedErrors:
    """Error rates, from 0 to 1, of all deciding checks together at a pair of thresholds."""

    false_reject: float
    false_accept: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """The result of scoring a character's examples.

    Args:
        core, style: figures per kind of score, with the recommended cut.
        positives, negatives: the scores behind them.
        counts: examples of each kind, by set.
        left_out: examples that cannot be scored, with reasons.
        notes: how the sets were chosen.
        made_on: date of the new thresholds.
        core_by_crops: the recommended core cut of the best of several crops, by their number.
        long_pictures: the examples are mostly seen in several crops, so that the cut holds for such pictures.
    """

    character: CharacterRow
    aggregation: Aggregation
    model: ScoringModel
    core: Examined
    style: Examined
    positives: Sequence[Scores]
    negatives: Sequence[Scores]
    counts: Mapping[str, Mapping[str, int]]
    left_out: Sequence[str]
    notes: Sequence[str]
    made_on: date
    core_by_crops: Mapping[int, float]
    long_pictures: bool = False

    @property
    def calibrated(self) -> bool:
        """Whether core has enough examples and separates them, so that the thresholds count as calibrated."""
        return self.core.calibrated

    @property
    def origin(self) -> str:
        """Shown beside every verdict under these thresholds."""
        n = self.core.positive_groups + self.core.negative_groups
        shape = ", long pictures" if self.long_pictures else ""
        return f"calibrated ({self.made_on.isoformat()}, n={n}, core AUC {self.core.auc:.3f}{shape})"

    @property
    def style_decides(self) -> bool:
        """Whether the examples show that the style score separates them; otherwise style is advisory."""
        return self.style.tells

    @property
    def current_thresholds(self) -> str:
        """The thresholds in force, as shown beside scores."""
        return describe_fitted(
            self.character.thresholds,
            fitted_to=fitted_to(self.character),
            scored_by=Weights(name=self.model.name, revision=self.model.revision),
        )

    @property
    def long_pictures_told(self) -> str | None:
        """What the best of several crops must reach and what that costs; None where the cut holds for it too."""
        cut, (shown, _) = self.core.recommended.cut, self.scores(Aspect.CORE)
        raised = ", ".join(
            f"{one:.3f} in {crops} crops ({sum(score < one for score in shown) / len(shown):.0%})"
            for crops, one in self.core_by_crops.items()
            if one > cut
        )
        return (
            f"the best crop of a long picture must reach more than {cut:.3f}, or it would accept more strangers:"
            f" {raised}; in brackets, which share of these positives lies below"
            if raised
            else None
        )

    @property
    def summary(self) -> str:
        """The examples and the model, in one line."""
        return (
            f"{self.core.positives} positives and {self.core.negatives} negatives, scored by {self.model.name}"
            f" in {self.model.dtype} on {self.made_on.isoformat()}; {self.core.resamples} resamples"
        )

    @property
    def now(self) -> CombinedErrors:
        """Error rates under the thresholds in force."""
        present = self.character.thresholds
        return self._together(present.core, present.style if present.style_decides else None)

    @property
    def then(self) -> CombinedErrors:
        """Error rates under the recommended thresholds."""
        return self._together(self.core.recommended.cut, self.style.recommended.cut if self.style_decides else None)

    def scores(self, aspect: Aspect) -> tuple[list[float], list[float]]:
        """Scores of the positives and of the negatives."""
        return values_of(self.positives, aspect), values_of(self.negatives, aspect)

    def _together(self, core: float, style: float | None) -> CombinedErrors:
        """Combined error rates; `style` is None where it is advisory."""
        passed = [
            sum(one.core >= core and (style is None or one.style >= style) for one in scores) / len(scores)
            for scores in (self.positives, self.negatives)
        ]
        return CombinedErrors(false_reject=1 - passed[0], false_accept=passed[1])


def _examined(examples: Examples, positives: Scored, negatives: Scored) -> tuple[Examined, ...]:
    """Core and style, each with its cut."""
    thresholds = examples.character.thresholds
    groups, shown, others = (positives.groups, negatives.groups), positives.scores, negatives.scores
    return tuple(
        examine(values_of(shown, one), values_of(others, one), present=present, groups=groups, rule=rule)
        for one, present, rule in (
            (Aspect.CORE, thresholds.core, Rule.BETWEEN),
            (Aspect.STYLE, thresholds.style, Rule.FLOOR),
        )
    )


def calibrate(
    examples: Examples, scoring: Scoring, *, alike: float, today: date, each: Callable[[], None] = lambda: None
) -> Calibration:
    """Score the examples and compute the figures.

    Args:
        alike: cosine from which two pictures count as near duplicates. Such examples count once, and a positive that
            duplicates a reference is left out, because it would be compared with itself.
        each: called for every embedding, as it is made.

    Raises:
        BadInput: none of a set can be scored.
        ScorerError: the model cannot be loaded, or a reference cannot be used.
        ServiceMissing: a reference is not in the store of this machine.
    """
    embedded = scoring.embedded(examples.sources, each=each)
    against = reference_embeddings(embedded, examples.references)
    references = {source.sha256: one for source, one in zip(examples.references, against, strict=True)}
    left_out: list[str] = []
    aggregation = Aggregation(examples.character.aggregation)
    positives, negatives = (
        scored(some, embedded, references, aggregation=aggregation, alike=alike, copies=copies, left_out=left_out)
        for some, copies in ((examples.positives, False), (examples.negatives, True))
    )
    for what, found in (("positives", positives), ("negatives", negatives)):
        if not found.scores:
            raise BadInput(f"none of the {what} can be scored: {left_out[0]}")
    crops = median(positives.crops), median(negatives.crops)
    core, style = _examined(examples, positives, negatives)
    by_crops = cuts_by_crops(core.recommended.cut, values_of(negatives.scores, Aspect.CORE), seen_in=round(crops[1]))
    return Calibration(
        character=examples.character,
        aggregation=aggregation,
        model=embedded.model,
        core=core,
        style=style,
        positives=positives.scores,
        negatives=negatives.scores,
        counts=examples.counts(),
        left_out=left_out,
        notes=[
            *examples.notes,
            *_groups_told(core, alike=alike),
            *_crops_told(*crops),
        ],
        core_by_crops=by_crops,
        long_pictures=min(crops) > 1,
        made_on=today,
    )


def apply(resources: Resources, calibration: Calibration, *, by: Actor | None = None) -> CharacterRow:
    """Write the recommended thresholds as a new version.

    Args:
        by: who does so, for the team's acts.

    Raises:
        BadInput: it does not count as calibrated; the message says what is missing. Or the references have changed.
    """
    if not calibration.calibrated:
        raise BadInput(
            f"nothing is applied, for this is no calibration of {calibration.character.name!r};"
            f" it lacks {' and '.join(calibration.core.lacking)}"
        )
    fitted = NewThresholds(
        core=calibration.core.recommended.cut,
        style=calibration.style.recommended.cut,
        origin=calibration.origin,
        model=calibration.model.name,
        aggregation=calibration.aggregation.value,
        calibration=as_json(calibration),
        style_decides=calibration.style_decides,
    )
    with resources.database.transaction() as connection:
        now = characters.get(connection, calibration.character.id)
        if _digests(now) != _digests(calibration.character):
            raise BadInput(f"the references of {now.name!r} were exchanged meanwhile; calibrate again")
        if _are_in_force(fitted, now):
            return now
        characters.set_thresholds(connection, now.id, fitted)
        made = characters.get(connection, now.id)
        acts.note_change(connection, team=LOCAL_TEAM, by=by, act="character changed", detail=told_of(made))
        return made


def versions(resources: Resources, character_id: CharacterId) -> list[ThresholdVersion]:
    """Every version of a character's thresholds, newest first."""
    with resources.database.transaction() as connection:
        return stored.versions(connection, character_id)


def as_json(calibration: Calibration) -> dict[str, Any]:
    """All figures without the individual scores."""
    return {
        "character": calibration.character.name,
        "calibrated": calibration.calibrated,
        "lacking": list(calibration.core.lacking),
        "made_on": calibration.made_on.isoformat(),
        "long_pictures": calibration.long_pictures,
        "aggregation": calibration.aggregation.value,
        "model": {
            "name": calibration.model.name,
            "fingerprint": calibration.model.fingerprint,
            "revision": calibration.model.revision,
            "preprocessing": calibration.model.preprocessing,
            "dtype": calibration.model.dtype,
        },
        "now": {
            "version": calibration.character.thresholds.version,
            "origin": calibration.character.thresholds.origin,
            "in_words": calibration.current_thresholds,
        },
        "examples": {name: dict(kinds) for name, kinds in calibration.counts.items()},
        "left_out": list(calibration.left_out),
        "notes": list(calibration.notes),
        "core": _figures(calibration.core),
        "core_by_crops": {str(crops): cut for crops, cut in calibration.core_by_crops.items()},
        "style": _figures(calibration.style),
        "style_decides": calibration.style_decides,
        "both_now": asdict(calibration.now),
        "both_recommended": asdict(calibration.then),
    }


def separations(calibration: Calibration) -> list[Separation]:
    """Plot data per kind of score, for `reports.plots`."""
    advisory = "" if calibration.style_decides else " (advisory)"
    titles = {
        Aspect.CORE: f"Core: is it {calibration.character.name}?",
        Aspect.STYLE: f"Style: is it drawn this way?{advisory}",
    }
    return [_separation(calibration, aspect, title) for aspect, title in titles.items()]


def _separation(calibration: Calibration, aspect: Aspect, title: str) -> Separation:
    positives, negatives = calibration.scores(aspect)
    across, up = roc(positives, negatives)
    examined = calibration.core if aspect is Aspect.CORE else calibration.style
    between = examined.auc_interval
    return Separation(
        title=title,
        positives=positives,
        negatives=negatives,
        accepted_negatives=across.tolist(),
        accepted_positives=up.tolist(),
        auc=f"{examined.auc:.3f} ({between.low:.3f} to {between.high:.3f})",
        cuts=[(_word(examined), _drawn(examined.recommended)), ("now", _drawn(examined.present))],
    )


def _word(examined: Examined) -> str:
    return "recommended" if examined.rule is Rule.BETWEEN else "recommended floor"


def _drawn(errors: Errors) -> Cut:
    return Cut(score=errors.cut, false_reject=errors.false_reject, false_accept=errors.false_accept)


def _digests(character: CharacterRow) -> list[str]:
    return [reference.sha256 for reference in character.references]


def _are_in_force(fitted: NewThresholds, now: CharacterRow) -> bool:
    """Whether the newest version has these thresholds; its figures are not compared, because they differ anyway."""
    told = now.thresholds
    return (fitted.core, fitted.style, fitted.style_decides, fitted.origin, fitted.model, fitted.aggregation) == (
        told.core,
        told.style,
        told.style_decides,
        told.origin,
        now.fitted_to,
        now.aggregation,
    )


def _figures(examined: Examined) -> dict[str, Any]:
    return {**asdict(examined), "calibrated": examined.calibrated, "lacking": list(examined.lacking)}


def _groups_told(core: Examined, *, alike: float) -> list[str]:
    """Notes for the user where examples are not independent."""
    pairs = (("positives", core.positives, core.positive_groups), ("negatives", core.negatives, core.negative_groups))
    return [
        f"the {found} {what} count as {groups}:"
        f" pictures of one generation, and pictures with a cosine of {alike:g} or more, are one example"
        for what, found, groups in pairs
        if groups < found
    ]


def _crops_told(positives: float, negatives: float) -> list[str]:
    """A note where the sets are of different shapes."""
    if (positives > 1) is (negatives > 1):
        return []
    told = (
        f"the positives are seen in {positives:g} and the negatives in {negatives:g} crops; the best of several has"
        " more chances, so that a cut between them holds for neither shape: give long pictures in both sets, or in none"
    )
    return [told]
