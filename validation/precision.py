"""Which arithmetic a scorer uses: float32, unless a faster one is measured to be faster and close enough.

Measured at start on the fixed generated pictures (`validation.specimens`), on the device that will do the work, and
recorded: nobody has to believe that half the bits are good enough.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import torch
from numpy.typing import NDArray

from domain.errors import ScorerError
from validation.base import Embedding
from validation.engine import Engine
from validation.similarity import Frame, cosines, frame_of, standard, unpack

# How far a fast type may be from float32 before it is refused; a threshold moves in steps of 0.01.
LEAST_COSINE = 0.999
MOST_SCORE_DIFFERENCE = 0.005
# Below this gain the honest type is the better bargain.
LEAST_GAIN = 1.2
# A tower below this size is over before the measurement would be; its arithmetic stays the same on every start.
_WORTH_MEASURING = 20_000_000
_TIMED_PICTURES = {"cpu": 4}
_TIMED_ELSEWHERE = 24
_MOST_TURNS = 5
_TURNS_S = 6.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What a fast type did on the fixed pictures, compared with float32.

    Args:
        dtype: `bfloat16` or `float16`.
        gain: time of float32 divided by time of this.
        cosine: of the embeddings of the same picture, the lowest.
        score_difference: of core and style scores between the pictures, the largest.
    """

    dtype: str
    gain: float
    cosine: float
    score_difference: float

    @property
    def accepted(self) -> bool:
        close = self.cosine >= LEAST_COSINE and self.score_difference <= MOST_SCORE_DIFFERENCE
        return close and self.gain >= LEAST_GAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision:
    """The arithmetic that was chosen, and what was tried for it.

    Args:
        dtype: `float32`, `bfloat16` or `float16`.
        chosen: `measured`, `configured`, or why nothing was measured.
        trials: in the order tried; empty when nothing was measured.
    """

    dtype: str
    chosen: str
    trials: tuple[Trial, ...] = ()


def choose(
    make: Callable[[torch.dtype], Engine], pictures: NDArray[np.uint8], *, wish: str, device: torch.device
) -> tuple[Engine, Precision, Frame]:
    """The engine to work with, why its arithmetic was chosen, and the frame of its embeddings.

    Args:
        make: loads the weights anew in the type asked for.
        pictures: (N, S, S, 3), the fixed ones.
        wish: `auto`, or the name of a type, which is then taken as it is.
        device: decides which types are tried.

    Raises:
        ModelUnloadable: `make` could not load.
        ScorerError: the model gives no numbers for the fixed pictures.
    """
    if wish != "auto":
        engine = make(_DTYPES[wish])
        return engine, Precision(dtype=wish, chosen="configured"), frame_of(*unpack(_measured(engine, pictures)))
    honest = make(torch.float32)
    embedded = _measured(honest, pictures)
    frame = frame_of(*unpack(embedded))
    if sum(parameter.numel() for parameter in honest.model.parameters()) < _WORTH_MEASURING:
        return honest, Precision(dtype="float32", chosen="too small a model to gain by less"), frame
    trials: list[Trial] = []
    best, best_gain = honest, 1.0
    for dtype in _FAST[device.type]:
        if (trial := _tried(make, dtype, pictures, against=(honest, embedded, frame))) is None:
            continue
        fast, result = trial
        trials.append(result)
        if result.accepted and result.gain > best_gain:
            best, best_gain = fast, result.gain
    return best, Precision(dtype=_name(best.dtype), chosen="measured", trials=tuple(trials)), frame


_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
# float16 on a CPU is emulated almost everywhere; Apple's GPUs have it in hardware.
_FAST = {"cuda": (torch.bfloat16, torch.float16), "mps": (torch.float16,), "cpu": (torch.bfloat16,)}


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _tried(
    make: Callable[[torch.dtype], Engine],
    dtype: torch.dtype,
    pictures: NDArray[np.uint8],
    *,
    against: tuple[Engine, Sequence[Embedding], Frame],
) -> tuple[Engine, Trial] | None:
    """An engine in `dtype` and how it did; None where the device cannot do this type at all."""
    honest, embedded, frame = against
    try:
        engine = make(dtype)
        candidate = _measured(engine, pictures)
        gain = _gain(honest, engine, pictures)
    except ScorerError:
        return None
    cosine, difference = closeness(candidate, embedded, frame=frame)
    return engine, Trial(dtype=_name(dtype), gain=gain, cosine=cosine, score_difference=difference)


def closeness(candidate: Sequence[Embedding], honest: Sequence[Embedding], *, frame: Frame) -> tuple[float, float]:
    """Lowest cosine of the same picture in both; largest difference of a score between two pictures."""
    (cores, styles), (honest_cores, honest_styles) = unpack(candidate), unpack(honest)  # (N, D), (N, C) each
    cosine = float(np.diag(cosines(cores, honest_cores)).min())
    core = np.abs(cosines(cores, cores) - cosines(honest_cores, honest_cores)).max()
    standards = standard(styles, frame), standard(honest_styles, frame)  # (N, C) each
    style = np.abs(cosines(standards[0], standards[0]) - cosines(standards[1], standards[1])).max()
    return cosine, float(max(core, style))


def _measured(engine: Engine, pictures: NDArray[np.uint8]) -> list[Embedding]:
    """Embeddings of the fixed pictures; also the warm-up.

    Raises:
        ScorerError: one of them is no number.
    """
    rows = engine.embed(list(pictures))
    for row in rows:
        if isinstance(row, ScorerError):
            raise row
    return [row for row in rows if not isinstance(row, ScorerError)]


def _gain(honest: Engine, fast: Engine, pictures: NDArray[np.uint8]) -> float:
    """How many times faster `fast` is, from the best of a few turns taken alternately: others use this machine too."""
    some = list(pictures[: _TIMED_PICTURES.get(fast.device.type, _TIMED_ELSEWHERE)])
    times: dict[str, list[float]] = {"honest": [], "fast": []}
    begun = perf_counter()
    while len(times["fast"]) < _MOST_TURNS and perf_counter() - begun < _TURNS_S:
        for name, engine in (("honest", honest), ("fast", fast)):
            turn = perf_counter()
            engine.embed(some)
            times[name].append(perf_counter() - turn)
    return min(times["honest"]) / min(times["fast"])
