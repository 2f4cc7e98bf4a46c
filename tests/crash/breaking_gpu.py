"""The gpu worker on a device that breaks in its first life: `python -m tests.crash.breaking_gpu FILE`.

After a few batches every forward pass fails, the probe's too, as after a CUDA error that only a new process gets rid
of. Each life adds a line to FILE; only the first one breaks.
"""

import sys
from pathlib import Path
from typing import Any

import torch

from runtime.settings import read_settings
from validation.clip import ClipScorer
from worker.gpu import check
from worker.start import main_of

_GOOD_BATCHES = 2


def _break_after(scorer: ClipScorer, batches: int) -> None:
    seen = 0

    def fail(*_: object) -> None:
        nonlocal seen
        seen += 1
        if seen > batches:
            raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    tower: Any = scorer.engine.model.vision_model
    tower.register_forward_pre_hook(fail)


def breaking_gpu(lives: Path) -> None:
    settings = read_settings()
    with ClipScorer.load(settings.clip_model, device="cpu") as scorer:
        if not lives.exists():
            _break_after(scorer, _GOOD_BATCHES)
        with lives.open("a") as file:
            file.write("a life\n")
        check(settings, scorer)


if __name__ == "__main__":
    main_of(lambda: breaking_gpu(Path(sys.argv[1])))
