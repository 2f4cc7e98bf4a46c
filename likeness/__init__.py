"""Likeness for scripts: `likeness.connect().enqueue(prompts, character="lulu-pig", max_cost="5")`.

What is named here is the face; everything else may change between versions.
"""

from domain.errors import LikenessError, RequestError, ServiceMissing
from likeness.client import Batch, Connection, connect
from likeness.records import CheckedPicture, Progress, Result
from pipeline.calibration.calibrate import Calibration

__all__ = [
    "Batch",
    "Calibration",
    "CheckedPicture",
    "Connection",
    "LikenessError",
    "Progress",
    "RequestError",
    "Result",
    "ServiceMissing",
    "connect",
]
