"""`/health`: whether the API works, and which stages of the pipeline this installation has."""

from fastapi import APIRouter

from api.callers import Held
from api.problems import documented
from api.wire import Wire
from pipeline.operator import heartbeat

router = APIRouter(tags=["Health"])


class Stage(Wire):
    """A stage of the pipeline.

    `available` says whether this version has it at all, `ready` whether this installation can use it now; under
    `recorded_as` it stands among the `stages` of a generation.
    """

    number: int
    name: str
    available: bool
    ready: bool
    recorded_as: str | None


class Health(Wire):
    status: str
    tick_age_s: float | None
    stages: list[Stage]


@router.get("/health", responses=documented(503))
def health(resources: Held) -> Health:
    """Whether requests can be taken, how long ago the queue's last tick was, and the stages; 503 without a database."""
    silence_s = heartbeat.silence_s(resources)
    works = silence_s is not None and silence_s < heartbeat.SILENCE_S
    stages = (
        ("VLT analysis", True, works, "analysis"),
        ("prompt enhancement", True, works, "enhancement"),
        ("persona matching", True, works, "persona"),
        ("model routing", True, works, "routing"),
        ("RLHF optimization", True, works, "optimise"),
        ("image generation", True, works and bool(resources.lanes), "generation"),
        ("image enhancement", False, False, None),
        ("batch generation", True, works, None),
        ("real-time status", True, True, None),
        ("analytics", True, True, None),
        ("collaboration", True, True, None),
    )
    return Health(
        status="ok",
        tick_age_s=silence_s,
        stages=[
            Stage(number=number, name=name, available=available, ready=ready, recorded_as=recorded_as)
            for number, (name, available, ready, recorded_as) in enumerate(stages, start=1)
        ],
    )
