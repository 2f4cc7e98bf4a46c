"""Pictures with known embeddings, so that calibration has known answers and needs no model."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path

import numpy as np
from PIL import Image

from domain.ids import sha256
from pipeline.process.embedding_cache import KeptEmbeddings
from validation.base import Embedding
from validation.embedder import ScoringModel
from validation.similarity import Frame

SIDE = 512
#: Known by its name alone: its weights are on no machine.
MODEL = ScoringModel(
    name="nobody/flat",
    revision="r",
    preprocessing="p",
    dtype="float32",
    frame=Frame(
        core_centre=np.zeros(SIDE, np.float32),
        style_centre=np.zeros(2, np.float32),
        style_spread=np.ones(2, np.float32),
    ),
)


def core_vector(cosine: float, axis: int) -> bytes:
    """That far from the first axis, into a direction of its own: no two of them are more alike than they must be."""
    vector = np.zeros(SIDE, "<f4")
    vector[0], vector[axis] = cosine, sqrt(1 - cosine**2)
    return vector.tobytes()


def flat(cosine: float) -> bytes:
    return np.array([cosine, sqrt(1 - cosine**2)], dtype="<f4").tobytes()


def spread(low: float, high: float, number: int = 30) -> list[float]:
    return [float(score) for score in np.linspace(low, high, number)]


@dataclass(slots=True)
class Gallery:
    """Pictures in folders, each with the cosines that it shall have with the first reference."""

    folder: Path
    kept: KeptEmbeddings
    numbers: Iterator[int]

    def file(
        self, name: str, *, core: float, style: float = 0.9, axis: int | None = None, further: Sequence[float] = ()
    ) -> Path:
        """Args: further: cosines of the further crops of a long picture."""
        number = next(self.numbers)
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (number // 256, number % 256, 7)).save(path)
        self.known(path.read_bytes(), core=core, style=style, axis=axis, further=further)
        return path

    def known(
        self,
        content: bytes,
        *,
        core: float,
        style: float = 0.9,
        axis: int | None = None,
        further: Sequence[float] = (),
    ) -> None:
        """Args: axis: the direction that it shares with others; None: one of its own."""
        vector = core_vector(core, next(self.numbers) % SIDE if axis is None else axis)
        crops = b"".join(core_vector(one, next(self.numbers) % SIDE) + flat(style) for one in further)
        embedding = Embedding(core=vector, style=flat(style), further=crops)
        self.kept.put_many({sha256(content): embedding}, model=MODEL.fingerprint)

    def set_of(self, name: str, cores: Sequence[float], styles: Sequence[float]) -> Path:
        for number, (core, style) in enumerate(zip(cores, styles, strict=True)):
            self.file(f"{name}/{number}.png", core=core, style=style)
        return self.folder / name
