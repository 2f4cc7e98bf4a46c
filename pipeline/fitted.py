"""Whether thresholds are meant for the model that scores: those fitted to another one say nothing about its scores."""

from collections.abc import Iterable, Mapping
from typing import Any

from db.characters import CharacterRow
from domain.verdict import Thresholds
from reports import wording


def same_model(fitted_to: str | None, name: str) -> bool:
    """Whether thresholds fitted to one model are meant for the one called `name`; a folder may be told by its end."""
    if fitted_to is None:
        return True
    longer, shorter = sorted((fitted_to.rstrip("/"), name.rstrip("/")), key=len, reverse=True)
    return longer == shorter or longer.endswith(f"/{shorter.removeprefix('./')}")


def misfit(name: str, *, fitted_to: str | None, model: str) -> str | None:
    """What to tell a person about thresholds of character `name` that were not fitted to `model`; None if they suit."""
    if same_model(fitted_to, model):
        return None
    return (
        f"the thresholds of {name!r} were fitted to {fitted_to!r}, and scores of {model!r} lie elsewhere:"
        f" `likeness calibrate {name}`, or set CLIP_MODEL"
    )


def misfits(characters: Iterable[CharacterRow], *, model: str) -> set[str]:
    """The sentences of `misfit` about each of them that does not suit."""
    told = (misfit(one.name, fitted_to=one.fitted_to, model=model) for one in characters)
    return {one for one in told if one is not None}


def margin(verdict: Mapping[str, Any]) -> float:
    """As `domain.verdict.Verdict.margin`, of its row."""
    core, style = (float(verdict[what] - verdict[f"{what}_threshold"]) for what in ("core", "style"))
    return min(core, style) if verdict["style_decides"] else core


def told(verdict: Mapping[str, Any]) -> str:
    """Against what a verdict held its picture, and where that comes from.

    Args:
        verdict: its row, with `thresholds_fitted_to` beside it.
    """
    said = wording.held_against(
        Thresholds(
            version=verdict["threshold_version"],
            core=verdict["core_threshold"],
            style=verdict["style_threshold"],
            origin=verdict["threshold_origin"],
            style_decides=verdict["style_decides"],
        )
    )
    fitted_to, model = verdict["thresholds_fitted_to"], verdict["origin"]["model"]
    return said if same_model(fitted_to, model) else f"{said}, fitted to {fitted_to!r} but scored by {model!r}"
