"""Tell whether thresholds were fitted to the model that scores; scores of another model are not comparable."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from db.records.characters import CharacterRow
from domain.errors import ModelUnloadable
from domain.verdict import Thresholds
from reports import wording
from validation.weights import revision


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """The identity of model weights.

    Args:
        name: name or path as configured.
        revision: digest; None where unknown.
    """

    name: str
    revision: str | None = None


def local_weights(name: str) -> Weights:
    """The weights of that name, with their digest if they are on this machine."""
    try:
        return Weights(name=name, revision=revision(name))
    except ModelUnloadable:
        return Weights(name=name)


def fitted_to(character: CharacterRow) -> Weights | None:
    """The weights that its thresholds were fitted to; None for defaults and for thresholds that a user set."""
    return (
        None if character.fitted_to is None else Weights(name=character.fitted_to, revision=character.fitted_revision)
    )


def same_weights(one: Weights, other: Weights) -> bool:
    """Whether two weights are the same: by digest, else by name; of a folder, the last part of the path is enough.

    Different digests at the same path differ; equal digests are the same under any name.
    """
    if one.revision is not None and other.revision is not None:
        return one.revision == other.revision
    longer, shorter = sorted((one.name.rstrip("/"), other.name.rstrip("/")), key=len, reverse=True)
    return longer == shorter or longer.endswith(f"/{shorter.removeprefix('./')}")


def misfit(name: str, *, fitted_to: Weights | None, scored_by: Weights) -> str | None:
    """A warning about thresholds of character `name` that were fitted to other weights; None if they match."""
    if fitted_to is None or same_weights(fitted_to, scored_by):
        return None
    former = "other weights" if fitted_to.name == scored_by.name else repr(fitted_to.name)
    return (
        f"the thresholds of {name!r} were fitted to {former}, and scores of {scored_by.name!r} lie elsewhere:"
        f" `likeness calibrate {name}`, or set CLIP_MODEL"
    )


def misfits(characters: Iterable[CharacterRow], *, scored_by: Weights) -> set[str]:
    """The warnings of `misfit` for these characters."""
    told = (misfit(one.name, fitted_to=fitted_to(one), scored_by=scored_by) for one in characters)
    return {one for one in told if one is not None}


def describe_fitted(thresholds: Thresholds, *, fitted_to: Weights | None, scored_by: Weights) -> str:
    """As `reports.wording.describe_thresholds`, with a remark where they were fitted to other weights."""
    description = wording.describe_thresholds(thresholds)
    if fitted_to is None or same_weights(fitted_to, scored_by):
        return description
    if fitted_to.name == scored_by.name:
        return f"{description}, fitted to other weights of {fitted_to.name!r}"
    return f"{description}, fitted to {fitted_to.name!r} but scored by {scored_by.name!r}"


def margin(verdict: Mapping[str, Any]) -> float:
    """As `domain.verdict.Verdict.margin`, from a verdict row."""
    core, style = (float(verdict[what] - verdict[f"{what}_threshold"]) for what in ("core", "style"))
    return min(core, style) if verdict["style_decides"] else core


def describe_verdict(verdict: Mapping[str, Any]) -> str:
    """The thresholds of a verdict and their origin.

    Args:
        verdict: a row, with `thresholds_fitted_to` and `thresholds_fitted_revision` beside it.
    """
    name, origin = verdict["thresholds_fitted_to"], verdict["origin"]
    return describe_fitted(
        Thresholds(
            version=verdict["threshold_version"],
            core=verdict["core_threshold"],
            style=verdict["style_threshold"],
            origin=verdict["threshold_origin"],
            style_decides=verdict["style_decides"],
        ),
        fitted_to=None if name is None else Weights(name=name, revision=verdict["thresholds_fitted_revision"]),
        scored_by=Weights(name=origin["model"], revision=origin["revision"]),
    )


def other_text_model(asset: Mapping[str, Any], verdict: Mapping[str, Any] | None) -> str | None:
    """The model of a picture's text alignment, if it is not the one of its verdict; else None.

    Args:
        asset: the picture's row.
        verdict: the row of the verdict shown beside it, or None.
    """
    by = asset["text_alignment_by"]
    if by is None or verdict is None:
        return None
    origin = verdict["origin"]
    judged_by = Weights(name=origin["model"], revision=origin["revision"])
    return None if same_weights(Weights(name=by["model"], revision=by["revision"]), judged_by) else str(by["model"])
