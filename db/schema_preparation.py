"""The table of generations whose prompt is being prepared: who works on them, and where the next stage runs."""

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Integer, Table, Text, func, text
from sqlalchemy.dialects.postgresql import UUID

from db.column_types import Moment, metadata, one_of
from db.schema import generations
from domain.preparation import Place

__all__ = ["metadata", "preparations"]

preparations = Table(
    "preparations",
    metadata,
    Column("generation_id", UUID, ForeignKey("generations.id"), primary_key=True),
    Column("place", Text, nullable=False, server_default=Place.ANY.value, comment="what the next stage needs"),
    Column(
        "published_at", Moment, nullable=False, server_default=func.now(), comment="later than now: not before then"
    ),
    Column("tries", Integer, nullable=False, server_default="0", comment="of the present stage"),
    Column("deaths", Integer, nullable=False, server_default="0", comment="leases of the present stage that ran out"),
    Column("lease_token", UUID),
    Column("lease_until", Moment),
    Column("leased_by", Text),
    one_of("place", Place),
    CheckConstraint("(lease_token IS NULL) = (lease_until IS NULL)", name="lease"),
)
Index("preparations_published_at_idx", preparations.c.published_at)
# The first rows of every batch before the last ones of any.
Index(
    "generations_preparing_idx",
    generations.c.position,
    generations.c.id,
    postgresql_where=text("state = 'preparing' AND (pipeline_data #> '{prepare,routing}') IS NULL"),
)
Index(
    "generations_preparing_routed_idx",
    generations.c.batch_id,
    generations.c.position,
    generations.c.id,
    postgresql_where=text("state = 'preparing' AND (pipeline_data #> '{prepare,routing}') IS NOT NULL"),
)
# Whose picture a file is that was handed in: asked when one of them is deleted.
Index(
    "generations_input_picture_idx",
    text("(pipeline_data #>> '{prepare,image}')"),
    generations.c.id,
    postgresql_where=text("(pipeline_data #>> '{prepare,image}') IS NOT NULL"),
)
