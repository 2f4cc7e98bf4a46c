"""Compute scores from embeddings. NumPy only, so that verdicts can be recomputed without the model.

*Core*, is it this character: the cosine of the projected image vectors, over all references.

*Style*, is it drawn this way: compares how the variation within a picture is distributed over the channels of a middle
block (`validation.engine.style_statistics`), independent of content. Unrelated pictures have a high raw cosine here, so
a fixed centre is subtracted first and each channel is scaled to the same spread (`Frame`).
`docs/decisions/0005-style-score.md` has the reasons, and 0031 the limits.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from domain.verdict import Scores
from validation.base import Aggregation, Detail, Embedding
from validation.crops import central_first

Vectors = NDArray[np.float32]

_STORED = np.dtype("<f4")
_TINY = np.float32(1e-12)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Centre and spread of one model's embeddings, measured on a fixed set of generated pictures.

    Args:
        core_centre: (D,) mean of the core vectors.
        style_centre: (C,) mean of the style statistics.
        style_spread: (C,) their standard deviation, never 0.
    """

    core_centre: Vectors
    style_centre: Vectors
    style_spread: Vectors


def frame_of(cores: Vectors, styles: Vectors) -> Frame:
    """The frame that centres embeddings of pictures like these.

    Args:
        cores: (N, D) unit rows, N at least 2.
        styles: (N, C).
    """
    spread = styles.std(axis=0, dtype=np.float64)
    # A lower bound, because a channel that is constant in the set would otherwise amplify rounding noise.
    floor = max(float(np.median(spread)) * 0.1, 1e-6)
    return Frame(
        core_centre=cores.mean(axis=0, dtype=np.float64).astype(np.float32),
        style_centre=styles.mean(axis=0, dtype=np.float64).astype(np.float32),
        style_spread=np.maximum(spread, floor).astype(np.float32),
    )


def pack(core: Vectors, style: Vectors) -> Embedding:
    """Pack one row of each for storage."""
    return Embedding(core=core.astype(_STORED).tobytes(), style=style.astype(_STORED).tobytes())


def joined(crops: Sequence[Embedding]) -> Embedding:
    """One embedding of a picture that was embedded crop by crop, the central one first."""
    first, *others = crops
    return replace(first, further=b"".join(one.core + one.style for one in others))


def taken_apart(embedding: Embedding) -> list[Embedding]:
    """The embeddings of a picture's crops, the central one first."""
    core, step = len(embedding.core), len(embedding.core) + len(embedding.style)
    further = [embedding.further[at : at + step] for at in range(0, len(embedding.further), step)]
    return [replace(embedding, further=b""), *(Embedding(core=one[:core], style=one[core:]) for one in further)]


def unpack(embeddings: Sequence[Embedding]) -> tuple[Vectors, Vectors]:
    """(N, D) core vectors and (N, C) style statistics of `embeddings` of one model, N at least 1.

    Of a long picture they are those of its central crop.
    """
    cores = np.stack([np.frombuffer(e.core, dtype=_STORED) for e in embeddings]).astype(np.float32)
    styles = np.stack([np.frombuffer(e.style, dtype=_STORED) for e in embeddings]).astype(np.float32)
    return cores, styles


def compare(
    pictures: Sequence[Embedding],
    references: Sequence[Embedding],
    *,
    frame: Frame,
    aggregation: Aggregation = Aggregation.MAX,
) -> list[tuple[Scores, Detail]]:
    """Scores of each picture against all references together, in order.

    A long picture has the scores of that crop which shows the character best; a reference counts by its central crop,
    for another may show nothing but the place where the character was drawn.

    Args:
        pictures: any number.
        references: at least one.
        frame: of the model that made all of them.
        aggregation: over the references.
    """
    if not pictures:
        return []
    crops = [taken_apart(one) for one in pictures]
    cores, styles = unpack([crop for of_one in crops for crop in of_one])  # (M, D), (M, C): all crops of all pictures
    reference_cores, reference_styles = unpack(references)  # (R, D), (R, C)
    core_raw = cosines(cores, reference_cores)  # (M, R)
    readings = (
        core_raw,
        cosines(cores - frame.core_centre, reference_cores - frame.core_centre),  # (M, R)
        cosines(styles, reference_styles),  # (M, R)
        cosines(standard(styles, frame), standard(reference_styles, frame)),  # (M, R)
    )
    over_references = np.max if aggregation is Aggregation.MAX else np.mean
    columns = [over_references(reading, axis=1) for reading in readings]  # 4 of (M,)
    nearest = core_raw.argmax(axis=1)  # (M,)
    scored: list[tuple[Scores, Detail]] = []
    at = 0
    for of_one in crops:
        best = at + int(columns[0][at : at + len(of_one)].argmax())
        position = central_first(len(of_one))[best - at] + 1
        values = [float(column[best]) for column in columns]
        scored.append(_scored(*values, nearest=int(nearest[best]), crop=position, crops=len(of_one)))
        at += len(of_one)
    return scored


def alignment(text: bytes, pictures: Sequence[Embedding]) -> list[float]:
    """Cosine of a text's vector with each picture's core vector (CLIP-T), in the order given."""
    if not pictures:
        return []
    cores, _ = unpack(pictures)  # (N, D)
    told = np.frombuffer(text, dtype=_STORED).astype(np.float32)[None, :]  # (1, D)
    return [float(one) for one in cosines(cores, told)[:, 0]]


def _scored(
    core_raw: float,
    core_corrected: float,
    style_raw: float,
    style_corrected: float,
    *,
    nearest: int,
    crop: int,
    crops: int,
) -> tuple[Scores, Detail]:
    detail = Detail(
        core_raw=core_raw,
        core_corrected=core_corrected,
        style_raw=style_raw,
        style_corrected=style_corrected,
        nearest=nearest,
        crop=crop,
        crops=crops,
    )
    return Scores(core=core_raw, style=style_corrected), detail


def standard(styles: Vectors, frame: Frame) -> Vectors:
    """(N, C) style statistics, centred and scaled by the frame."""
    return (styles - frame.style_centre) / frame.style_spread


def cosines(rows: Vectors, columns: Vectors) -> Vectors:
    """(N, R) cosines in [-1, 1] of (N, D) with (R, D); 0 for a vector of length 0."""
    # Rounding may give more than 1 for equal vectors.
    products: Vectors = _unit(rows) @ _unit(columns).T  # (N, R)
    return np.clip(products, -1.0, 1.0)


def _unit(rows: Vectors) -> Vectors:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)  # (N, 1)
    unit: Vectors = rows / np.maximum(lengths, _TINY)
    return unit
