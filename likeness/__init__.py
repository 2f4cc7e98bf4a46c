"""Likeness for scripts: `likeness.connect().enqueue(prompts, character="lulu-pig", max_cost="5")`.

What is named here is the face; everything else may change between versions. A name is imported when it is first used,
so that `import likeness` costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from domain.errors import LikenessError, RequestError, ServiceMissing

if TYPE_CHECKING:
    from likeness.characters import Character
    from likeness.client import Batch, Connection, connect
    from likeness.clip_validator import CLIPValidator
    from likeness.generations import Generation, GenerationPage
    from likeness.records import CheckedPicture, Progress, Result
    from pipeline.calibration.calibrate import Calibration
    from pipeline.views.export import Exported
    from pipeline.views.forecast import Forecast
    from reports.provenance import Match, Provenance, read_provenance

__all__ = [
    "Batch",
    "CLIPValidator",
    "Calibration",
    "Character",
    "CheckedPicture",
    "Connection",
    "Exported",
    "Forecast",
    "Generation",
    "GenerationPage",
    "LikenessError",
    "Match",
    "Progress",
    "Provenance",
    "RequestError",
    "Result",
    "ServiceMissing",
    "connect",
    "read_provenance",
]

_HOMES = {
    "Batch": "likeness.client",
    "CLIPValidator": "likeness.clip_validator",
    "Calibration": "pipeline.calibration.calibrate",
    "Character": "likeness.characters",
    "CheckedPicture": "likeness.records",
    "Connection": "likeness.client",
    "Exported": "pipeline.views.export",
    "Forecast": "pipeline.views.forecast",
    "Generation": "likeness.generations",
    "GenerationPage": "likeness.generations",
    "Match": "reports.provenance",
    "Progress": "likeness.records",
    "Provenance": "reports.provenance",
    "Result": "likeness.records",
    "connect": "likeness.client",
    "read_provenance": "reports.provenance",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'likeness' has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
