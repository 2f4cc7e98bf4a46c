"""Choose the floating-point precision of a scorer: float32, unless another is measured to be faster and close enough.

Measured at start on fixed generated pictures (`validation.specimens`), on the device that will be used, and recorded
with the figures. Of several acceptable types the first in a fixed order is taken, not the fastest: cached embeddings
depend on the precision, and a tie would change from start to start.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from domain.errors import ScorerError
from validation.base import Embedding
from validation.engine import Engine
from validation.similarity import Frame, cosines, frame_of, standard, unpack

# Largest accepted difference from float32; thresholds move in steps of 0.01.
LEAST_COSINE = 0.999
MOST_SCORE_DIFFERENCE = 0.005
# With a smaller gain, float32 is preferred.
LEAST_GAIN = 1.2
# Smaller models are not measured: they run faster than the measurement, and their precision should not vary.
_WORTH_MEASURING = 20_000_000
_TIMED_PICTURES = {"cpu": 4}
_TIMED_ELSEWHERE = 24
_MOST_TURNS = 5
_TURNS_S = 6.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A faster type compared with float32 on the fixed pictures.

    Args:
        dtype: `bfloat16` or `float16`.
        gain: speedup over float32; None where it could not be tried.
        cosine: lowest cosine between both embeddings of a picture; likewise.
        score_difference: largest difference of a score; likewise.
        why_not: why it could not be tried; None where it was.
    """

    dtype: str
    gain: float | None = None
    cosine: float | None = None
    score_difference: float | None = None
    why_not: str | None = None

    @property
    def accepted(self) -> bool:
        if self.gain is None or self.cosine is None or self.score_difference is None:
            return False
        close = self.cosine >= LEAST_COSINE and self.score_difference <= MOST_SCORE_DIFFERENCE
        return close and self.gain >= LEAST_GAIN

    def __str__(self) -> str:
        if self.gain is None:
            return f"{self.dtype} could not be tried: {self.why_not}"
        return (
            f"{self.dtype} is {self.gain:.2f} times as fast as float32, lowest cosine {self.cosine:.5f}, "
            f"largest difference of a score {self.score_difference:.4f}: {'taken' if self.accepted else 'not taken'}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision:
    """The chosen precision, and the trials.

    Args:
        dtype: `float32`, `bfloat16` or `float16`.
        chosen: `measured`, `configured`, or why nothing was measured.
        device: with its name, if known.
        trials: in the order tried, up to the first that was accepted; empty when nothing was measured.
    """

    dtype: str
    chosen: str
    device: str
    trials: tuple[Trial, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The JSON stored with the model's frame."""
        trials = [{**asdict(trial), "accepted": trial.accepted} for trial in self.trials]
        return {"device": self.device, "chosen": self.chosen, "trials": trials}


def choose(
    make: Callable[[torch.dtype], Engine], pictures: NDArray[np.uint8], *, wish: str, device: torch.device
) -> tuple[Engine, Precision, Frame]:
    """Choose the precision; returns the engine, the reasons, and the frame of its embeddings.

    Args:
        make: loads the weights in a given type.
        pictures: (N, S, S, 3), the fixed ones.
        wish: `auto`, or the name of a type, which is used without measuring.
        device: decides which types are tried.

    Raises:
        ModelUnloadable: `make` could not load.
        ScorerError: the model gives no finite numbers for the fixed pictures.
    """
    if device.type == "cuda":
        _make_float32_exact()
    name = _name_of(device)
    if wish != "auto":
        engine = make(_DTYPES[wish])
        configured = Precision(dtype=wish, chosen="configured", device=name)
        return engine, configured, frame_of(*unpack(_measured(engine, pictures)))
    honest = make(torch.float32)
    embedded = _measured(honest, pictures)
    frame = frame_of(*unpack(embedded))
    if sum(parameter.numel() for parameter in honest.model.parameters()) < _WORTH_MEASURING:
        return honest, Precision(dtype="float32", chosen="too small a model to gain by less", device=name), frame
    trials: list[Trial] = []
    chosen = honest
    for dtype in _FAST[device.type]:
        fast, trial = _tried(make, dtype, pictures, against=(honest, embedded, frame))
        trials.append(trial)
        if fast is not None:
            chosen = fast
            break
    return chosen, Precision(dtype=_name(chosen.dtype), chosen="measured", device=name, trials=tuple(trials)), frame


_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
# float16 on a CPU is emulated almost everywhere; Apple's GPUs have it in hardware.
# bfloat16 first: it is less exact, but cannot overflow, which would leave a paid picture without a score.
_FAST = {"cuda": (torch.bfloat16, torch.float16), "mps": (torch.float16,), "cpu": (torch.bfloat16,)}


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _name_of(device: torch.device) -> str:
    return f"{device} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device)


def _make_float32_exact() -> None:
    """Turn TensorFloat-32 off, with which float32 convolutions round their inputs to 10 bits.

    Uses the older of torch's two sets of switches, because reading the old one after setting the new one fails.
    """
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


def _tried(
    make: Callable[[torch.dtype], Engine],
    dtype: torch.dtype,
    pictures: NDArray[np.uint8],
    *,
    against: tuple[Engine, Sequence[Embedding], Frame],
) -> tuple[Engine | None, Trial]:
    """The trial of `dtype`, and its engine if it is accepted."""
    honest, embedded, frame = against
    try:
        engine = make(dtype)
        candidate = _measured(engine, pictures)
        gain = _gain(honest, engine, pictures)
    except ScorerError as failure:
        return None, Trial(dtype=_name(dtype), why_not=str(failure))
    cosine, difference = closeness(candidate, embedded, frame=frame)
    trial = Trial(dtype=_name(dtype), gain=gain, cosine=cosine, score_difference=difference)
    return (engine if trial.accepted else None), trial


def closeness(candidate: Sequence[Embedding], honest: Sequence[Embedding], *, frame: Frame) -> tuple[float, float]:
    """Lowest cosine between both embeddings of a picture; largest difference of a score between two pictures."""
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
    """Speedup of `fast`, from the best of a few alternating runs, because other processes use this machine too."""
    some = list(pictures[: _TIMED_PICTURES.get(fast.device.type, _TIMED_ELSEWHERE)])
    times: dict[str, list[float]] = {"honest": [], "fast": []}
    begun = perf_counter()
    while len(times["fast"]) < _MOST_TURNS and perf_counter() - begun < _TURNS_S:
        for name, engine in (("honest", honest), ("fast", fast)):
            turn = perf_counter()
            engine.embed(some)
            times[name].append(perf_counter() - turn)
    return min(times["honest"]) / min(times["fast"])
