"""Run a model on a device: embed uint8 pictures in three phases that can be called separately.

`prepare` stacks pictures on the host, `forward` runs on the device without gradients, `finish` returns rows as float32.
`validation.precision` chooses the precision, and `validation.similarity` interprets the rows. Internal to
`validation.clip`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from threading import Lock
from time import perf_counter
from typing import Any
from weakref import WeakMethod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from domain.errors import ModelUnloadable, OutOfMemory, ScorerError, UnfitPicture
from validation.base import Embedding
from validation.batching import bucket
from validation.preprocessing import Preprocessing
from validation.similarity import pack

Pixels = NDArray[np.uint8]

# Tokens have a standard deviation of 1 over the channels; a channel below 1/50 of that counts as constant.
_QUIET = 0.02
# A patch two standard deviations above the average contrast has full weight, one as far below has none.
_STEEPNESS = 4.0
_TINY = 1e-6
# "out of memory" from the CUDA runtime and MPS; "can't allocate memory" from torch on the CPU; and errors of libraries
# that bypass torch's allocator: CUBLAS_STATUS_ALLOC_FAILED, CUSOLVER_STATUS_ALLOC_FAILED,
# CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED.
_FULL = re.compile(
    r"out of memory|(can't|cannot|could not|failed to) allocate|not enough memory|alloc(ation)?_failed", re.IGNORECASE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Phases:
    """Seconds per phase since the engine was made, over `pictures` pictures.

    `forward_s` is device time; overlapping batches do not count their wait for each other.
    """

    pictures: int = 0
    prepare_s: float = 0.0
    forward_s: float = 0.0
    finish_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Launched:
    """A forward pass in progress on the device.

    Args:
        pictures: number of rows wanted; the rest is padding.
        cores: (B, D) float32 on the host once `done` has happened.
        styles: (B, C) float32, likewise.
        passed: events at the start and the end of the pass; None where `launch` was synchronous.
        forward_s: duration of a synchronous pass.
    """

    pictures: int
    cores: Tensor
    styles: Tensor
    passed: tuple[torch.cuda.Event, torch.cuda.Event] | None = None
    forward_s: float = 0.0


class Engine:
    """A CLIP or SigLIP image tower that also computes style statistics of its middle block.

    Thread-safe: one forward pass is launched at a time.

    Args:
        model: has `get_image_features`; on `device`, in its precision, in evaluation mode.
        preprocessing: of the weights.
        device: of `model`.
    """

    def __init__(self, model: nn.Module, *, preprocessing: Preprocessing, device: torch.device) -> None:
        self.model = model
        self.preprocessing = preprocessing
        self.device = device
        self.dtype = next(model.parameters()).dtype
        self.phases = Phases()
        blocks, self._patches = _tower(model, preprocessing.size)
        self.style_block = max(1, len(blocks) // 2)  # counted from 1
        # A weak reference: with a cycle, the memory of a rejected engine would stay on the device until the garbage
        # collector runs.
        keeper = WeakMethod(self._keep_style)
        blocks[self.style_block - 1].register_forward_hook(lambda *seen: _told(keeper, *seen))
        self._style: Tensor | None = None
        self._lock = Lock()
        self._on_cuda = device.type == "cuda"
        self._copies = torch.cuda.Stream(device) if self._on_cuda else None  # type: ignore[no-untyped-call]  # torch
        # x * factor + shift is (x * rescale - mean) / std in one pass over the pixels.
        mean, std = torch.tensor(preprocessing.mean), torch.tensor(preprocessing.std)  # (3,) each
        self._factor = (preprocessing.rescale / std).to(device)  # (3,)
        self._shift = (-mean / std).to(device)  # (3,)

    def prepare(self, pictures: Sequence[Pixels]) -> Tensor:
        """Stack pictures on the host.

        Args:
            pictures: (S, S, 3) uint8 each, at least one.

        Returns:
            (B, S, S, 3) uint8, in pinned memory for CUDA. B is the number of pictures, or the next power of two on a
            device with a cost per shape; padding rows are black.

        Raises:
            OutOfMemory: the host has too little memory.
            ScorerError: the device has failed and gives no pinned memory.
        """
        begun_s = perf_counter()
        size = self.preprocessing.size
        rows = len(pictures) if self.device.type == "cpu" else bucket(len(pictures))
        with _device_errors(len(pictures)), self._current():
            host = torch.zeros((rows, size, size, 3), dtype=torch.uint8, pin_memory=self._on_cuda)  # (B, S, S, 3)
            np.stack(pictures, out=host.numpy()[: len(pictures)])
        self._count(prepare_s=perf_counter() - begun_s)
        return host

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Embed a batch; the caller holds no lock and needs no gradient.

        Args:
            pixels: (B, S, S, 3) uint8 on the device.

        Returns:
            (B, D) projected vectors at unit length and (B, C) style statistics, both float32 on the device.

        Raises:
            OutOfMemory: the batch does not fit; the caller halves it.
            ScorerError: the device failed.
        """
        with self._lock, torch.inference_mode(), _device_errors(len(pixels)):
            inputs = torch.addcmul(self._shift, pixels.to(torch.float32), self._factor)  # (B, S, S, 3)
            inputs = inputs.permute(0, 3, 1, 2).contiguous().to(self.dtype)  # (B, 3, S, S)
            features = self.model.get_image_features(pixel_values=inputs)  # type: ignore[operator]  # nn.Module is open
            cores = nn.functional.normalize(features.pooler_output.float(), dim=-1)  # (B, D)
            styles, self._style = self._style, None  # (B, C)
        if styles is None:
            raise ScorerError("the model has run without passing its style block")
        return cores, styles

    def launch(self, host: Tensor, *, pictures: int) -> Launched:
        """Start the forward pass of a prepared batch; on CUDA it runs while the caller prepares the next.

        Args:
            host: from `prepare`.
            pictures: number of rows wanted.

        Raises:
            OutOfMemory, ScorerError: as `forward`.
        """
        begun_s = perf_counter()
        with _device_errors(pictures), self._current():
            begun = self._mark() if self._on_cuda else None
            pixels = self._copied(host)  # (B, S, S, 3)
            cores, styles = self.forward(pixels)  # (B, D), (B, C)
            if begun is None:
                cores, styles = cores.cpu(), styles.cpu()
                return Launched(pictures=pictures, cores=cores, styles=styles, forward_s=perf_counter() - begun_s)
            cores, styles = cores.to("cpu", non_blocking=True), styles.to("cpu", non_blocking=True)
            return Launched(pictures=pictures, cores=cores, styles=styles, passed=(begun, self._mark()))

    def finish(self, launched: Launched) -> list[Embedding | ScorerError]:
        """Wait for a forward pass and return its rows; `UnfitPicture` where a row is not finite.

        Raises:
            OutOfMemory, ScorerError: as `forward`, where the device reports late.
        """
        forward_s = launched.forward_s
        with _device_errors(launched.pictures):
            if launched.passed is not None:
                begun, done = launched.passed
                done.synchronize()
                forward_s = begun.elapsed_time(done) / 1000
        over_s = perf_counter()
        cores = launched.cores[: launched.pictures].numpy()  # (N, D)
        styles = launched.styles[: launched.pictures].numpy()  # (N, C)
        numbers = np.isfinite(cores).all(axis=1) & np.isfinite(styles).all(axis=1)  # (N,)
        rows: list[Embedding | ScorerError] = [
            pack(core, style) if number else UnfitPicture(f"its embedding is not a number in {self.dtype}")
            for core, style, number in zip(cores, styles, numbers, strict=True)
        ]
        self._count(pictures=launched.pictures, forward_s=forward_s, finish_s=perf_counter() - over_s)
        return rows

    def embed_tokens(self, tokens: Mapping[str, Tensor]) -> Tensor:
        """The text tower's projected vectors.

        Args:
            tokens: (B, T) each, as the model's own tokenizer makes them, on any device.

        Returns:
            (B, D) float32 at unit length, on the host.

        Raises:
            OutOfMemory, ScorerError: as `forward`.
        """
        rows = len(next(iter(tokens.values())))
        with torch.inference_mode(), _device_errors(rows), self._current():
            with self._lock:
                on_device = {name: one.to(self.device) for name, one in tokens.items()}
                features = self.model.get_text_features(**on_device)  # type: ignore[operator]  # nn.Module is open
                told = nn.functional.normalize(features.pooler_output.float(), dim=-1)  # (B, D)
            # Without the lock, because this waits for the device, and pictures may be launched meanwhile.
            return told.cpu()

    def embed(self, pictures: Sequence[Pixels]) -> list[Embedding | ScorerError]:
        """The three phases in a row, for at least one picture."""
        return self.finish(self.launch(self.prepare(pictures), pictures=len(pictures)))

    def _current(self) -> AbstractContextManager[object]:
        """Make this device torch's current one, for pinned memory and events, which take no device argument."""
        return torch.cuda.device(self.device) if self._on_cuda else nullcontext()

    def _mark(self) -> torch.cuda.Event:
        """Record an event on this device's stream.

        The stream is explicit, because the current one may belong to another device; `finish` would then read rows that
        have not arrived.
        """
        mark = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]  # torch
        mark.record(torch.cuda.current_stream(self.device))
        return mark

    def _copied(self, host: Tensor) -> Tensor:
        if self._copies is None:
            return host.to(self.device)
        # On its own stream, so that the copy overlaps with the previous forward pass.
        running = torch.cuda.current_stream(self.device)
        with torch.cuda.stream(self._copies):
            pixels = host.to(self.device, non_blocking=True)  # (B, S, S, 3)
        running.wait_stream(self._copies)
        pixels.record_stream(running)
        return pixels

    def _keep_style(self, _block: nn.Module, _inputs: Any, output: Any) -> None:
        tokens = output[0] if isinstance(output, tuple) else output  # (B, T, C)
        self._style = style_statistics(tokens[:, -self._patches :])  # (B, C): without the class token, if there is one

    def _count(
        self, *, pictures: int = 0, prepare_s: float = 0.0, forward_s: float = 0.0, finish_s: float = 0.0
    ) -> None:
        with self._lock:
            self.phases = Phases(
                pictures=self.phases.pictures + pictures,
                prepare_s=self.phases.prepare_s + prepare_s,
                forward_s=self.phases.forward_s + forward_s,
                finish_s=self.phases.finish_s + finish_s,
            )


def _told(keeper: WeakMethod[Any], block: nn.Module, inputs: Any, output: Any) -> None:
    if (keep := keeper()) is not None:
        keep(block, inputs, output)


def style_statistics(patches: Tensor) -> Tensor:
    """How the variation within each picture is distributed over the channels.

    Args:
        patches: (B, P, C) patch tokens of one block.

    Returns:
        (B, C) float32: the logarithm of every channel's standard deviation over the patches of higher contrast,
        relative to the mean over the channels.

    Source: channel statistics as style: Huang and Belongie 2017, section 4. Why no mean, no level and no equal
    weights of patches: docs/decisions/0005-style-score.md.
    """
    # Normalise tokens: a few outliers would otherwise dominate the statistic.
    tokens = nn.functional.layer_norm(patches.float(), patches.shape[-1:])  # (B, P, C)
    apart = torch.linalg.vector_norm(tokens - tokens.mean(dim=1, keepdim=True), dim=-1)  # (B, P)
    spread, middle = torch.std_mean(apart, dim=1, keepdim=True)  # (B, 1) each
    # A smooth choice of about half of the patches; with a hard cut, rounding alone would swap some of them.
    weights = torch.sigmoid(_STEEPNESS * (apart - middle) / (spread + _TINY))  # (B, P)
    weights = (weights / weights.sum(dim=1, keepdim=True)).unsqueeze(-1)  # (B, P, 1)
    centre = (weights * tokens).sum(dim=1, keepdim=True)  # (B, 1, C)
    variance = (weights * (tokens - centre).square()).sum(dim=1)  # (B, C)
    shares = (variance.sqrt() + _QUIET).log()  # (B, C)
    return shares - shares.mean(dim=1, keepdim=True)


def _tower(model: nn.Module, size: int) -> tuple[nn.ModuleList, int]:
    """The blocks of the image tower of `model`, and how many patch tokens a picture of `size` pixels gives.

    Raises:
        ModelUnloadable: `model` is not built like CLIP or SigLIP, or wants another size.
    """
    tower: Any = getattr(model, "vision_model", None)
    blocks = getattr(getattr(tower, "encoder", None), "layers", None)
    if not hasattr(model, "get_image_features") or not isinstance(blocks, nn.ModuleList):
        raise ModelUnloadable(f"a {type(model).__name__} is no CLIP or SigLIP: it has no image tower of blocks")
    config = tower.config
    seen = getattr(config, "image_size", None)
    if seen != size:
        raise ModelUnloadable(f"the model sees pictures of {seen} pixels, but its preprocessing makes them {size}")
    return blocks, (size // config.patch_size) ** 2


@contextmanager
def _device_errors(pictures: int) -> Iterator[None]:
    """Translate torch's failures. Only its allocator has a class for a full device; others are matched by message."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise OutOfMemory(f"a batch of {pictures} does not fit: {error}") from error
    except RuntimeError as error:
        if _FULL.search(str(error)):
            raise OutOfMemory(f"a batch of {pictures} does not fit: {error}") from error
        raise ScorerError(f"the device failed on a batch of {pictures}: {error}") from error
