"""The first stage: from a picture to the specification of what is worn in it. A specification that is given is kept."""

from typing import Final

from domain.errors import PictureLost, ScorerError, ServiceMissing
from domain.garments import read_spec, spec_of
from domain.preparation import Added, Known, Place
from pipeline.preparing import local_analysis, vision_analysis
from pipeline.resources import Resources
from validation.base import Scorer

LOCAL: Final = "local"
LLM: Final = "llm"


def place(known: Known) -> Place | None:
    """Where it runs: nowhere without a picture or a specification."""
    if known.wishes.get("vlt") is not None:
        return Place.ANY
    if known.wishes.get("image") is None or known.wishes.get("analysis", LOCAL) == "off":
        return None
    return Place.IO if known.wishes.get("analysis") == LLM else Place.GPU


def fallback_place(known: Known) -> Place | None:
    """Where the local analyser looks after a vision model could not say: nowhere in any other case."""
    failed = known.wishes.get("analysis") == LLM and known.wishes.get("image") is not None and known.spec is None
    return Place.GPU if failed else None


def run(resources: Resources, known: Known) -> Added:
    """The specification.

    Raises:
        NotAPicture, ScorerError, ServiceMissing: there is none to be had.
    """
    given = known.wishes.get("vlt")
    if given is not None:
        spec = spec_of(read_spec(given))
        return Added(spec=spec, inputs={"vlt": "given"}, detail={"analyser": "a person"})
    key = str(known.wishes["image"])
    content = picture_of(resources, key)
    if known.wishes.get("analysis") == LLM:
        return vision_analysis.run(resources, known, content=content, key=key)
    return _local(resources, known, content=content, key=key)


def fall_back(resources: Resources, known: Known) -> Added:
    """The specification by the local analyser, where the vision model's is not to be had.

    Raises:
        as `run`.
    """
    key = str(known.wishes["image"])
    return _local(resources, known, content=picture_of(resources, key), key=key)


def _local(resources: Resources, known: Known, *, content: bytes, key: str) -> Added:
    scorer, model = _weights(resources)
    found = local_analysis.analyse(content, scorer=scorer, model=model)
    return Added(
        spec=spec_of(found.garments),
        inputs={"image": key, "name": known.wishes.get("image_name")},
        detail={"analyser": LOCAL, **found.detail},
    )


def _weights(resources: Resources) -> tuple[Scorer, str]:
    """What reads the picture, and the name of its weights: those that check pictures, unless others are set for it."""
    if resources.scorer is None:
        raise ScorerError("this process has no model; pictures are analysed in a worker of the gpu role")
    if (other := resources.analysis_scorer) is not None:
        return other.get(), other.model
    return resources.scorer, resources.scoring_model


def picture_of(resources: Resources, key: str) -> bytes:
    """The picture that was handed in.

    Raises:
        ServiceMissing: it is not in the store of this machine.
    """
    try:
        return resources.store.get(key)
    except (OSError, PictureLost) as error:
        raise ServiceMissing(
            f"the picture that was handed in cannot be read from the store of this worker ({error});"
            " share the store among the workers, or hand it in again"
        ) from error
