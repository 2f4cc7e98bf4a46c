"""Turn scores and thresholds into a verdict. Pure: scores come from `validation`, thresholds from the character."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

#: The origin of thresholds that nobody set or calibrated.
DEFAULT = "default"


class Aspect(StrEnum):
    """The two questions that a picture is scored on."""

    CORE = "core"  # is it this character?
    STYLE = "style"  # is it drawn this way?


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What produced a score; scores of different origins are not comparable.

    Args:
        model: name or path as configured.
        revision: digest of the weights.
        preprocessing: digest of the preprocessing that came with the weights.
        dtype: precision of the forward pass.
        references: digest over the character's reference pictures, in order.
    """

    model: str
    revision: str
    preprocessing: str
    dtype: str
    references: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """One version of a character's thresholds; scores at or above them pass.

    Args:
        version: counts from 1 per character.
        origin: `DEFAULT`, `calibrated (date, n, core AUC)` or who set them; shown beside every verdict.
        style_decides: whether a picture must also reach the style threshold; otherwise style is advisory.
        core_by_crops: the core threshold of the best of several crops, by their number, where a calibration gave it.
    """

    version: int
    core: float
    style: float
    origin: str
    style_decides: bool = True
    core_by_crops: Mapping[int, float] = field(default_factory=dict, hash=False)

    def for_crops(self, crops: int) -> "Thresholds":
        """Those of a picture that was seen in so many crops: the best of several passes by accident more often.

        Without a calibration nobody knows by how much, so that the threshold stays and its origin says so.
        """
        if crops == 1:
            return self
        core = self.core_by_crops.get(crops)
        if core is None:
            return replace(self, origin=f"{self.origin}; not raised for the best of {crops} crops")
        told = "raised" if core > self.core else "enough"
        return replace(self, core=core, origin=f"{self.origin}; {told} for the best of {crops} crops")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Cosines in [-1, 1] of one picture against one character's references."""

    core: float
    style: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether a picture passes as the character, and by how much."""

    scores: Scores
    thresholds: Thresholds

    @property
    def core_passed(self) -> bool:
        return self.scores.core >= self.thresholds.core

    @property
    def style_passed(self) -> bool:
        """Whether the style threshold is reached, even where it is only advisory."""
        return self.scores.style >= self.thresholds.style

    @property
    def passed(self) -> bool:
        return self.core_passed and (self.style_passed or not self.thresholds.style_decides)

    @property
    def margin(self) -> float:
        """The smallest distance to a deciding threshold; negative when one is missed."""
        core, style = self.scores.core - self.thresholds.core, self.scores.style - self.thresholds.style
        return min(core, style) if self.thresholds.style_decides else core


def best(verdicts: Sequence[Verdict]) -> int:
    """Index of the best picture of an attempt: passed first, then the higher core score, then the earlier.

    Raises:
        ValueError: `verdicts` is empty.
    """
    return max(range(len(verdicts)), key=lambda i: (verdicts[i].passed, verdicts[i].scores.core, -i))


def passed_by_all(verdicts: Sequence[Verdict]) -> bool:
    """Whether one picture passes as every character it must show; False without a verdict."""
    return bool(verdicts) and all(verdict.passed for verdict in verdicts)


def best_for_all(pictures: Sequence[Sequence[Verdict]]) -> int:
    """Index of the best picture, each with one verdict per character.

    With one character, the same as `best`. With several: passed by all first, then the larger of the smallest margins,
    then the earlier. A picture is as good as its worst character.

    Raises:
        ValueError: there is no picture, or one without a verdict.
    """
    if all(len(verdicts) == 1 for verdicts in pictures):
        return best([verdicts[0] for verdicts in pictures])
    return max(
        range(len(pictures)),
        key=lambda i: (passed_by_all(pictures[i]), min(verdict.margin for verdict in pictures[i]), -i),
    )
