"""The embedding cache and the frames of models, as opaque bytes.

Rows are keyed by the digest of the picture file and the fingerprint of the model, and never change. Only `validation`
interprets the numbers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import Connection, func, select, text
from sqlalchemy.dialects.postgresql import insert as upsert

from db.column_types import ByteStrings
from db.schema_checks import embedding_frames, embeddings
from db.texts import storable_json

#: Rows per statement: 500 embeddings of ViT-L/14 are 4 MB.
_AT_ONCE = 500

#: Core vector, style statistics, and both of each further crop.
Stored = tuple[bytes, bytes, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameRow:
    """The frame of one model's embeddings, and the model's identity, so that it need not be loaded.

    Args:
        fingerprint: key of its embeddings.
        core_centre, style_centre, style_spread: little-endian float32.
        arithmetic: the device it was loaded on last, and the measurements there.
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


def get_many(connection: Connection, sources: Sequence[str], *, fingerprint: str) -> dict[str, Stored]:
    """What is stored by digest of the picture file; unknown ones are absent."""
    found: dict[str, Stored] = {}
    for at in range(0, len(sources), _AT_ONCE):
        rows = connection.execute(
            select(embeddings.c.sha256, embeddings.c.vector, embeddings.c.style, embeddings.c.further).where(
                embeddings.c.sha256.in_(sources[at : at + _AT_ONCE]), embeddings.c.fingerprint == fingerprint
            )
        )
        found |= {row.sha256: (bytes(row.vector), bytes(row.style), bytes(row.further)) for row in rows}
    return found


def put_many(connection: Connection, rows: Mapping[str, Stored], *, fingerprint: str) -> None:
    """Store them by digest; existing rows stay."""
    # Sorted, so that two writers of the same rows cannot deadlock.
    sources = sorted(rows)
    for at in range(0, len(sources), _AT_ONCE):
        some = sources[at : at + _AT_ONCE]
        connection.execute(
            _PUT,
            {
                "sources": some,
                "fingerprint": fingerprint,
                "vectors": ByteStrings(rows[one][0] for one in some),
                "styles": ByteStrings(rows[one][1] for one in some),
                "further": ByteStrings(rows[one][2] for one in some),
            },
        )


_PUT = text(
    """
    INSERT INTO embeddings (sha256, fingerprint, vector, style, further)
    SELECT given.sha256, :fingerprint, given.vector, given.style, given.further
    FROM unnest(CAST(:sources AS text[]), CAST(:vectors AS bytea[]), CAST(:styles AS bytea[]),
            CAST(:further AS bytea[]))
        WITH ORDINALITY AS given(sha256, vector, style, further, position)
    ORDER BY given.position
    ON CONFLICT DO NOTHING
    """
)


_Rows = Mapping[str, Stored]


def get_each(connection: Connection, asked: Sequence[tuple[str, Sequence[str]]]) -> list[_Rows]:
    """What is known of the sources of several threads, each with its model."""
    wanted: dict[str, dict[str, None]] = {}
    for model, sources in asked:
        wanted.setdefault(model, {}).update(dict.fromkeys(sources))
    found = {model: get_many(connection, list(some), fingerprint=model) for model, some in wanted.items()}
    return [{one: found[model][one] for one in sources if one in found[model]} for model, sources in asked]


def put_each(connection: Connection, given: Sequence[tuple[str, _Rows]]) -> list[bool]:
    """Keep what several threads have made, each with its model."""
    rows: dict[str, dict[str, Stored]] = {}
    for model, made in given:
        rows.setdefault(model, {}).update(made)
    for model in sorted(rows):
        put_many(connection, rows[model], fingerprint=model)
    return [True] * len(given)


def put_frame(connection: Connection, frame: FrameRow) -> None:
    """Store a model's frame; an existing one gets only its name, device and time of loading updated."""
    values = {**asdict(frame), "arithmetic": storable_json(frame.arithmetic)}
    seen = {"seen_at": func.now(), "model": frame.model, "arithmetic": values["arithmetic"]}
    connection.execute(
        upsert(embedding_frames)
        .values(**values)
        .on_conflict_do_update(index_elements=[embedding_frames.c.fingerprint], set_=seen)
    )


def frames(connection: Connection) -> list[FrameRow]:
    """Every model that made embeddings, the last loaded first."""
    rows = connection.execute(
        select(*[embedding_frames.c[name] for name in FrameRow.__dataclass_fields__]).order_by(
            embedding_frames.c.seen_at.desc(), embedding_frames.c.fingerprint
        )
    )
    return [FrameRow(**row) for row in rows.mappings()]
