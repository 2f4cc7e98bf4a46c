"""Choose the next try after a rejection, from the policy that the user set and what the model can do. Pure.

`pipeline.requests.closed_loop` collects what the request carries and what the provider offers; this module only
decides. The default policy is one try, so that nothing is charged unasked.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from domain.errors import BadInput

#: Who decided, in the history of a generation.
CLOSED_LOOP: Final = "closed loop"

#: Upper bound of `max_tries`.
MOST_TRIES: Final = 20


class Escalation(StrEnum):
    """What the next try changes, in the default order."""

    WEIGHT = "weight"  # a stronger reference weight, where the model has one
    REFERENCES = "references"  # all of the character's references instead of those named
    ACTION = "action"  # the provider varies the best picture so far
    MODEL = "model"  # the next dearer model that takes references


#: Steps of a policy that names none. MODEL is left out: it may send the references to another company, at another
#: price.
DEFAULT_STEPS: Final = (Escalation.WEIGHT, Escalation.REFERENCES, Escalation.ACTION)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Which further tries a user allows.

    Args:
        max_tries: verdicts per generation; 1 means no further try.
        steps: tried in this order, each until it is exhausted.
        max_image_cost: upper bound of one call in dollars; None leaves the budget as the only limit.
    """

    max_tries: int = 1
    steps: Sequence[Escalation] = DEFAULT_STEPS
    max_image_cost: Decimal | None = None

    @property
    def on(self) -> bool:
        return self.max_tries > 1

    @classmethod
    def of(cls, *stored: Mapping[str, Any]) -> "Policy":
        """Merge the JSON that rows store, as `try_policy_of` writes it; later arguments win key by key."""
        merged: dict[str, Any] = {}
        for one in stored:
            merged |= one
        most = merged.get("max_image_cost")
        return cls(
            max_tries=merged.get("max_tries", 1),
            steps=tuple(Escalation(step) for step in merged.get("escalate", DEFAULT_STEPS)),
            max_image_cost=None if most is None else Decimal(most),
        )


def try_policy_of(
    *, max_tries: int | None = None, escalate: Sequence[Escalation] | None = None, max_image_cost: Decimal | None = None
) -> dict[str, Any]:
    """The policy as the JSON that rows store, with only the keys that were given.

    Raises:
        BadInput: a number of tries that is out of range.
    """
    if max_tries is not None and not 1 <= max_tries <= MOST_TRIES:
        raise BadInput(f"max_tries is {max_tries}; it takes a whole number from 1, which is off, to {MOST_TRIES}")
    policy: dict[str, Any] = {}
    if max_tries is not None:
        policy["max_tries"] = max_tries
    if escalate is not None:
        policy["escalate"] = [step.value for step in escalate]
    if max_image_cost is not None:
        policy["max_image_cost"] = str(max_image_cost)
    return policy


def read_steps(text: str | Iterable[str]) -> tuple[Escalation, ...]:
    """Parse the steps that a user names, separated by commas or spaces.

    Raises:
        BadInput: no step, or an unknown one.
    """
    words = text.replace(",", " ").split() if isinstance(text, str) else [str(word).strip() for word in text]
    unknown = [word for word in words if word.lower() not in set(Escalation)]
    if unknown or not words:
        what = f"knows no {unknown[0]!r}" if unknown else "names nothing"
        raise BadInput(f"escalate {what}; it takes {', '.join(Escalation)}, in the order wanted")
    return tuple(dict.fromkeys(Escalation(word.lower()) for word in words))


@dataclass(frozen=True, slots=True, kw_only=True)
class Weight:
    """How strongly a request follows its references.

    Args:
        setting: name of the setting that controls it.
        flag: the name shown to users, such as `cw`.
        value: from the request, or the service's default.
        rungs: the strengths to try, weakest first.
    """

    setting: str
    flag: str
    value: int
    rungs: Sequence[int]

    @property
    def stronger(self) -> int | None:
        """The next rung, or None at the top."""
        return min((rung for rung in self.rungs if rung > self.value), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """The character references of a request.

    Args:
        references: number of pictures sent.
        weight: None where the provider has no such setting, or the prompt fixes it.
    """

    references: int = 0
    weight: Weight | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Variation:
    """A variation of the best picture so far, made by the provider.

    Args:
        picture: its position among the pictures of its job, from 0.
        action: the attempt's `changes["action"]`, as `pipeline.requests.follow_up_jobs` reads it.
    """

    picture: int
    action: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class NextModel:
    """The model to escalate to."""

    name: str
    provider: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chances:
    """What the next try could change; None where an option is exhausted.

    Args:
        carried: references of the current request.
        model: name of the current model.
        more_references: how many would be sent without the settings that override the character's own.
        in_the_way: those settings.
    """

    carried: Carried
    model: str
    more_references: int | None = None
    in_the_way: Sequence[str] = ()
    variation: Variation | None = None
    next_model: NextModel | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One change for the next try.

    Args:
        says: the change for users, such as `cw 25 → 50`.
        before, after: its two sides, such as `cw 25` and `cw 50`.
        settings: overrides of the generation's settings; None removes one.
        action: what to ask of the provider instead of a fresh job.
        model: the model to switch to.
    """

    kind: Escalation
    says: str
    before: str
    after: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    action: Mapping[str, Any] | None = None
    model: NextModel | None = None


def next_step(policy: Policy, *, tries: int, chances: Chances) -> Step | None:
    """The change for the next try after a rejection; None where tries or steps are used up.

    Args:
        tries: verdicts so far, including the latest.
    """
    if tries >= policy.max_tries:
        return None
    return next((step for kind in policy.steps if (step := _step(kind, chances)) is not None), None)


def _step(kind: Escalation, chances: Chances) -> Step | None:
    match kind:
        case Escalation.WEIGHT:
            return _heavier(chances.carried.weight)
        case Escalation.REFERENCES:
            return _more_references(chances)
        case Escalation.ACTION:
            return _varied(chances.variation)
        case Escalation.MODEL:
            return _dearer(chances)


def _heavier(weight: Weight | None) -> Step | None:
    if weight is None or (rung := weight.stronger) is None:
        return None
    return Step(
        kind=Escalation.WEIGHT,
        says=f"{weight.flag} {weight.value} → {rung}",
        before=f"{weight.flag} {weight.value}",
        after=f"{weight.flag} {rung}",
        settings={weight.setting: rung},
    )


def _more_references(chances: Chances) -> Step | None:
    if chances.more_references is None or chances.more_references <= chances.carried.references:
        return None
    fewer, more = chances.carried.references, chances.more_references
    return Step(
        kind=Escalation.REFERENCES,
        says=f"references {fewer} → {more}",
        before=_counted(fewer),
        after=_counted(more),
        settings=dict.fromkeys(chances.in_the_way),
    )


def _counted(number: int) -> str:
    return "1 reference" if number == 1 else f"{number} references"


def _varied(variation: Variation | None) -> Step | None:
    if variation is None:
        return None
    varied = f"a variation of picture {variation.picture + 1}"
    return Step(kind=Escalation.ACTION, says=varied, before="a fresh job", after=varied, action=variation.action)


def _dearer(chances: Chances) -> Step | None:
    if (following := chances.next_model) is None:
        return None
    says = f"{chances.model} → {following.name}"
    return Step(kind=Escalation.MODEL, says=says, before=chances.model, after=following.name, model=following)


def merged(settings: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A generation's settings overlaid with an attempt's changes; a change to None removes the setting."""
    both = {**settings, **changes.get("settings", {})}
    return {name: value for name, value in both.items() if value is not None}
