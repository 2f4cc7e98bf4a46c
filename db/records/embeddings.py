"""Embeddings that were made, and the frames in which they are compared: bytes in, bytes out.

Rows are keyed by the digest of the picture's file and by the fingerprint of the model, and never change; what the
numbers mean is known to `validation` alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import Connection, func, select
from sqlalchemy.dialects.postgresql import insert as upsert

from db.schema_checks import embedding_frames, embeddings
from db.texts import storable_json

#: Rows of one statement: 500 embeddings of ViT-L/14 are 4 MB.
_AT_ONCE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameRow:
    """Where one model's embeddings lie, with what it takes to recognise the model without loading it.

    Args:
        fingerprint: under which its embeddings are kept.
        core_centre, style_centre, style_spread: little-endian float32.
        arithmetic: on which device it was loaded last, and what was measured there.
    """

    fingerprint: str
    model: str
    revision: str
    preprocessing: str
    dtype: str
    core_centre: bytes
    style_centre: bytes
    style_spread: bytes
    arithmetic: Mapping[str, Any] = field(default_factory=dict)


def get_many(connection: Connection, sources: Sequence[str], *, fingerprint: str) -> dict[str, tuple[bytes, bytes]]:
    """Core vector and style statistics by digest of the picture's file; those that are unknown are absent."""
    found: dict[str, tuple[bytes, bytes]] = {}
    for at in range(0, len(sources), _AT_ONCE):
        rows = connection.execute(
            select(embeddings.c.sha256, embeddings.c.vector, embeddings.c.style).where(
                embeddings.c.sha256.in_(sources[at : at + _AT_ONCE]), embeddings.c.fingerprint == fingerprint
            )
        )
        found |= {row.sha256: (bytes(row.vector), bytes(row.style)) for row in rows}
    return found


def put_many(connection: Connection, rows: Mapping[str, tuple[bytes, bytes]], *, fingerprint: str) -> None:
    """Keep core vectors and style statistics by digest; a row that is there already stays."""
    # In one order for everybody: two writers of the same rows must not wait for each other in a ring.
    sources = sorted(rows)
    for at in range(0, len(sources), _AT_ONCE):
        some = sources[at : at + _AT_ONCE]
        connection.execute(
            upsert(embeddings).on_conflict_do_nothing(),
            [
                {"sha256": one, "fingerprint": fingerprint, "vector": rows[one][0], "style": rows[one][1]}
                for one in some
            ],
        )


def put_frame(connection: Connection, frame: FrameRow) -> None:
    """Keep a model's frame; one that is there already is only seen again, under its name and on its device of now."""
    values = {**asdict(frame), "arithmetic": storable_json(frame.arithmetic)}
    seen = {"seen_at": func.now(), "model": frame.model, "arithmetic": values["arithmetic"]}
    connection.execute(
        upsert(embedding_frames)
        .values(**values)
        .on_conflict_do_update(index_elements=[embedding_frames.c.fingerprint], set_=seen)
    )


def frames(connection: Connection) -> list[FrameRow]:
    """Every model that embeddings were made with, the one loaded last first."""
    rows = connection.execute(
        select(*[embedding_frames.c[name] for name in FrameRow.__dataclass_fields__]).order_by(
            embedding_frames.c.seen_at.desc(), embedding_frames.c.fingerprint
        )
    )
    return [FrameRow(**row) for row in rows.mappings()]
