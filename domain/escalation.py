"""Another try after a rejection: what a person allows, what is possible, and which step comes next. Pure.

What a request carries and what a model could take is found out by whoever knows providers and prices; here it is
weighed. Nothing is tried unasked: the policy of a batch that names none is one try.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from domain.errors import BadInput

#: Who decided, in the history of a generation.
CLOSED_LOOP: Final = "closed loop"

#: More than this is no search any more but a subscription.
MOST_TRIES: Final = 20


class Escalation(StrEnum):
    """What may be different in the next try, in the order in which a policy that names none goes through them."""

    WEIGHT = "weight"  # a stronger reference weight, as the model's way of taking references allows
    REFERENCES = "references"  # all of the character's references instead of those named
    ACTION = "action"  # the provider varies the best picture so far
    MODEL = "model"  # the next dearer model that takes references


#: Another model may be another company that gets the references, and has another price: only where it is named.
DEFAULT_STEPS: Final = (Escalation.WEIGHT, Escalation.REFERENCES, Escalation.ACTION)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a person allows.

    Args:
        max_tries: verdicts that one generation may come to; 1 is no further try.
        steps: in the order in which they are gone through, each for as long as it has something left.
        max_image_cost: the most that one call may cost, in dollars; None for no limit but the budget's.
    """

    max_tries: int = 1
    steps: Sequence[Escalation] = DEFAULT_STEPS
    max_image_cost: Decimal | None = None

    @property
    def on(self) -> bool:
        return self.max_tries > 1

    @classmethod
    def of(cls, *said: Mapping[str, Any]) -> "Policy":
        """The policy in the JSON of rows, as `wishes` writes it; a later one wins, key by key."""
        merged: dict[str, Any] = {}
        for one in said:
            merged |= one
        most = merged.get("max_image_cost")
        return cls(
            max_tries=merged.get("max_tries", 1),
            steps=tuple(Escalation(step) for step in merged.get("escalate", DEFAULT_STEPS)),
            max_image_cost=None if most is None else Decimal(most),
        )


def wishes(
    *, max_tries: int | None = None, escalate: Sequence[Escalation] | None = None, max_image_cost: Decimal | None = None
) -> dict[str, Any]:
    """The JSON of what was said about further tries; what was not said is absent.

    Raises:
        BadInput: a number of tries that is out of range.
    """
    if max_tries is not None and not 1 <= max_tries <= MOST_TRIES:
        raise BadInput(f"max_tries is {max_tries}; it takes a whole number from 1, which is off, to {MOST_TRIES}")
    said: dict[str, Any] = {}
    if max_tries is not None:
        said["max_tries"] = max_tries
    if escalate is not None:
        said["escalate"] = [step.value for step in escalate]
    if max_image_cost is not None:
        said["max_image_cost"] = str(max_image_cost)
    return said


def read_steps(said: str | Iterable[str]) -> tuple[Escalation, ...]:
    """The steps that a person names, with commas or spaces between them.

    Raises:
        BadInput: none, or one that there is not.
    """
    words = said.replace(",", " ").split() if isinstance(said, str) else [str(word).strip() for word in said]
    unknown = [word for word in words if word.lower() not in set(Escalation)]
    if unknown or not words:
        what = f"knows no {unknown[0]!r}" if unknown else "names nothing"
        raise BadInput(f"escalate {what}; it takes {', '.join(Escalation)}, in the order wanted")
    return tuple(dict.fromkeys(Escalation(word.lower()) for word in words))


@dataclass(frozen=True, slots=True, kw_only=True)
class Weight:
    """How strongly a request follows its references.

    Args:
        setting: the name that says it.
        flag: what people call it, like `cw`.
        value: what the request says, or the service's own default.
        rungs: the strengths that are tried, weakest first.
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
    """What a request carries of its character.

    Args:
        references: pictures that go along.
        weight: None where the wire has none, or a person fixed it in the prompt itself.
    """

    references: int = 0
    weight: Weight | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Variation:
    """What the provider can do with the best picture so far.

    Args:
        picture: its place among the pictures of its job, from 0.
        action: the attempt's `changes["action"]`, as `pipeline.attempts.follow_up_jobs` reads it.
    """

    picture: int
    action: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class NextModel:
    """The model that would be next."""

    name: str
    provider: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chances:
    """What could be different in the next try; None where there is nothing left.

    Args:
        carried: by the request as it stands.
        model: the present one's name.
        more_references: how many would go along without the settings that are in the way of the character's own.
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
    """One step up.

    Args:
        says: the step for people, like `cw 25 → 50`.
        before, after: what changes: `cw 25` and `cw 50`.
        settings: overrides of the generation's settings, None for one that is taken away.
        action: what the provider is asked to do instead of a fresh job.
        model: another model.
    """

    kind: Escalation
    says: str
    before: str
    after: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    action: Mapping[str, Any] | None = None
    model: NextModel | None = None


def next_step(policy: Policy, *, tries: int, chances: Chances) -> Step | None:
    """The next step up after a rejection, or None where tries or steps are used up.

    Args:
        tries: verdicts so far, the latest included.
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
    """A generation's settings with an attempt's changes over them; a change to None takes the setting away."""
    both = {**settings, **changes.get("settings", {})}
    return {name: value for name, value in both.items() if value is not None}
