"""What the services themselves say about their models today: which inputs they know, and when they end.

Asked before anything is enqueued, since a model ignores a key that it does not know, and bills; and by the doctor and
a starting worker. The catalogue knows without asking; a service that cannot be asked is no reason to refuse.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date

from db.reads.models_in_use import unfinished
from domain.errors import BadInput, LikenessError, ModelRetired, ProviderError, RequestRefused
from pipeline.requests.draft_requests import draft
from pipeline.resources import Resources
from providers.catalogue import load
from providers.contract import Ask, Lane


def check(resources: Resources, drafts: Iterable[tuple[str, Ask]], *, on: date) -> list[str]:
    """Hold what would be sent against what the services say.

    Args:
        drafts: providers, each with a submission as it would be made; one of each kind will do.
        on: the day.

    Returns:
        Warnings for a person.

    Raises:
        BadInput: a model would ignore a part of a submission; the sentence names it and what the model knows.
        ModelRetired: the service says that a model has ended.
    """
    warnings: list[str] = []
    silent: set[str] = set()
    for provider, made in drafts:
        lane = _lane_of(resources, provider)
        if lane is None or provider in silent:
            continue
        try:
            warnings += lane.check_live(made, on=on)
        except RequestRefused as failure:
            raise BadInput(str(failure)) from failure
        except ProviderError as failure:
            silent.add(provider)
            warnings.append(
                f"{provider!r} could not be asked about {made.model!r} today ({failure});"
                " what will be sent was held against our own list alone"
            )
    return warnings


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a service said about one model.

    Args:
        said: for a person; empty where there is nothing to say.
        refused: the model cannot be used as we would use it.
        silent: the service could not be asked.
        asked: False where the service says nothing about its models, so that only our own catalogue speaks.
    """

    provider: str
    model: str
    said: str = ""
    refused: bool = False
    silent: bool = False
    asked: bool = True


def look(resources: Resources, *, on: date) -> Iterator[Finding]:
    """Ask about every model that unfinished generations wait for, and about the defaults of the lanes that are here."""
    with resources.database.transaction() as connection:
        wanted = set(unfinished(connection))
    catalogue = load()
    providers = {lane.provider for lane in resources.lanes.values()}
    wanted |= {(provider, catalogue.default(provider).name) for provider in providers}
    for provider, name in sorted(wanted):
        lane = _lane_of(resources, provider)
        if lane is not None:
            yield _finding(lane, name, on=on)


def _finding(lane: Lane, name: str, *, on: date) -> Finding:
    try:
        model = load().get(name)
        plain = draft(name, "a picture", {}, references=1 if model.references else 0)
        said = [*model.check_usable(on), *lane.check_live(plain, on=on)]
    except (RequestRefused, ModelRetired) as failure:
        return Finding(provider=lane.provider, model=name, said=str(failure), refused=True)
    except LikenessError as failure:
        return Finding(provider=lane.provider, model=name, said=f"could not be asked: {failure}", silent=True)
    return Finding(provider=lane.provider, model=name, said="; ".join(dict.fromkeys(said)), asked=lane.tells_models)


def _lane_of(resources: Resources, provider: str) -> Lane | None:
    return next((lane for lane in resources.lanes.values() if lane.provider == provider), None)
