"""The table of wishes to finish accepted pictures: what is left to do, who is at it, and what came of it."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Table,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, UUID

from db.column_types import Moment, metadata, one_of
from domain.finishing import FinishOutcome

__all__ = ["finishings", "metadata"]

finishings = Table(
    "finishings",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("generation_id", UUID, ForeignKey("generations.id"), nullable=False, index=True),
    Column("batch_id", UUID, ForeignKey("batches.id"), nullable=False),
    Column("wanted", Text, nullable=False, comment="the whole wish: upscale, background, or both"),
    Column("steps", ARRAY(Text), nullable=False, comment="what is left of it, in order"),
    Column("model", Text, comment="a person named it; null: the product chooses"),
    Column("original_id", UUID, ForeignKey("generation_assets.id"), comment="the picture that is finished, and stays"),
    Column("asset_id", UUID, ForeignKey("generation_assets.id"), comment="what it has come to"),
    Column("attempt_id", UUID, ForeignKey("attempts.id"), comment="at work; null: it waits for a place and for money"),
    Column("tries", Integer, nullable=False, server_default="0", comment="of the present step that failed"),
    Column("not_before", Moment),
    Column("cancel_requested_at", Moment, comment="a person gave it up while an attempt was at it"),
    Column("outcome", Text),
    Column("said", Text, comment="why, for people"),
    Column("created_at", Moment, nullable=False, server_default=func.now()),
    Column("finished_at", Moment),
    one_of("outcome", FinishOutcome),
    CheckConstraint("(outcome IS NULL) = (finished_at IS NULL)", name="finish_time"),
    CheckConstraint("outcome IS NULL OR attempt_id IS NULL", name="nobody_at_it"),
)
Index("finishings_one_open_idx", finishings.c.generation_id, unique=True, postgresql_where=text("outcome IS NULL"))
Index("finishings_open_idx", finishings.c.batch_id, finishings.c.id, postgresql_where=text("outcome IS NULL"))
Index("finishings_attempt_id_idx", finishings.c.attempt_id, postgresql_where=text("attempt_id IS NOT NULL"))
