"""A device that sees each batch of pictures, and may refuse it."""

from collections.abc import Callable
from typing import Any

import torch

from validation.clip import ClipScorer


class Watch:
    """Sees the batches that reach the image tower, and may refuse them as a device would."""

    def __init__(self, scorer: ClipScorer, refuse: Callable[[torch.Tensor], None] = lambda _: None) -> None:
        self.batches: list[int] = []
        self._refuse = refuse
        tower: Any = scorer.engine.model.vision_model
        tower.register_forward_pre_hook(self._see, with_kwargs=True)

    def _see(self, _module: torch.nn.Module, _args: object, kwargs: dict[str, torch.Tensor]) -> None:
        self.batches.append(len(kwargs["pixel_values"]))
        self._refuse(kwargs["pixel_values"])


def refuse_above(limit: int) -> Callable[[torch.Tensor], None]:
    def refuse(pixels: torch.Tensor) -> None:
        if len(pixels) > limit:
            raise torch.OutOfMemoryError("CUDA out of memory")

    return refuse


def empty(pixels: torch.Tensor) -> torch.Tensor:
    """(B,) bool: which pictures of (B, 3, S, S) have one value everywhere."""
    flat = pixels.flatten(2)  # (B, 3, S * S)
    return (flat.amax(dim=2) == flat.amin(dim=2)).all(dim=1)


def refuse_black(pixels: torch.Tensor) -> None:
    if empty(pixels).any():
        raise ValueError("a picture of nothing")


def refuse_all(_pixels: torch.Tensor) -> None:
    raise RuntimeError("CUDA error: an illegal memory access was encountered")
