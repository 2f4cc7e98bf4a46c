"""Embeddings beyond one process: kept in Postgres by content and fingerprint, so that no picture is embedded twice."""

import logging
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from db.grouping import Grouped
from db.records import embeddings
from db.records.embeddings import FrameRow
from db.session import Database, DatabaseAway
from domain.errors import ModelUnloadable
from validation.base import Embedding
from validation.embedder import ScoringModel
from validation.preprocessing import read_preprocessing
from validation.similarity import Frame
from validation.weights import revision

log = logging.getLogger(__name__)

_STORED = np.dtype("<f4")


class KeptEmbeddings:
    """Implements `validation.base.EmbeddingCache` on the table `embeddings`; thread-safe.

    A database that is away costs a forward pass and no verdict: nothing is found, and nothing is kept.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._reads = Grouped(embeddings.get_each)
        self._writes = Grouped(embeddings.put_each)

    def get_many(self, sources: Sequence[str], *, model: str) -> Mapping[str, Embedding]:
        """The embeddings of `model`, a fingerprint, that are known."""
        try:
            rows = self._reads.do(self._database, (model, sources))
            if rows is None:
                with self._database.transaction() as connection:
                    rows = embeddings.get_many(connection, sources, fingerprint=model)
        except DatabaseAway as away:
            log.warning("embeddings are made anew: %s", away)
            return {}
        return {source: Embedding(core=row[0], style=row[1], further=row[2]) for source, row in rows.items()}

    def put_many(self, made: Mapping[str, Embedding], *, model: str) -> None:
        """Keep what was made by `model`, a fingerprint."""
        rows = {source: (one.core, one.style, one.further) for source, one in made.items()}
        try:
            if self._writes.do(self._database, (model, rows)) is None:
                with self._database.transaction() as connection:
                    embeddings.put_many(connection, rows, fingerprint=model)
        except DatabaseAway as away:
            log.warning("%d embeddings are not kept: %s", len(rows), away)

    def keep_model(self, model: ScoringModel) -> None:
        """Remember who embeds, so that its embeddings can be compared when it is not loaded."""
        row = FrameRow(
            fingerprint=model.fingerprint,
            model=model.name,
            revision=model.revision,
            preprocessing=model.preprocessing,
            dtype=model.dtype,
            core_centre=_packed(model.frame.core_centre),
            style_centre=_packed(model.frame.style_centre),
            style_spread=_packed(model.frame.style_spread),
            arithmetic=model.arithmetic,
        )
        with self._database.transaction() as connection:
            embeddings.put_frame(connection, row)

    def models(self, name: str) -> list[ScoringModel]:
        """How the model of that name has embedded so far, the latest first: once per arithmetic.

        Recognised by the digest of its weights where they are on this machine, else by its name.
        """
        with self._database.transaction() as connection:
            rows = embeddings.frames(connection)
        known = [(row, _model_of(row)) for row in rows]
        # Made by an earlier recipe: under the same weights, other numbers.
        known = [(row, model) for row, model in known if model.fingerprint == row.fingerprint]
        try:
            wanted = revision(name), read_preprocessing(name).digest
        except ModelUnloadable:
            return [model for _, model in known if model.name == name]
        return [model for _, model in known if (model.revision, model.preprocessing) == wanted]


def _model_of(row: FrameRow) -> ScoringModel:
    return ScoringModel(
        name=row.model,
        revision=row.revision,
        preprocessing=row.preprocessing,
        dtype=row.dtype,
        frame=Frame(
            core_centre=_unpacked(row.core_centre),
            style_centre=_unpacked(row.style_centre),
            style_spread=_unpacked(row.style_spread),
        ),
        arithmetic=row.arithmetic,
    )


def _packed(vector: NDArray[np.float32]) -> bytes:
    return vector.astype(_STORED).tobytes()


def _unpacked(stored: bytes) -> NDArray[np.float32]:
    return np.frombuffer(stored, dtype=_STORED).astype(np.float32)
