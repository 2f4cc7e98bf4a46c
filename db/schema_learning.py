"""Tables of what is learned, and from what: feedback, decisions about models, choices, fitted heads, personas."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID

from db.column_types import NOTHING, Moment, metadata, one_of
from db.schema import attempts
from domain.access import LOCAL_TEAM
from domain.feedback import FeedbackType

__all__ = ["generation_feedback", "metadata", "personas", "preference_heads", "preference_pairs", "routing_decisions"]

generation_feedback = Table(
    "generation_feedback",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("generation_id", UUID, ForeignKey("generations.id"), nullable=False, index=True),
    Column("asset_id", UUID, ForeignKey("generation_assets.id"), index=True),
    Column("user_id", Text, nullable=False),
    Column("feedback_type", Text, nullable=False),
    Column("rating", Integer),
    Column("comment", Text),
    Column("metadata", JSONB, nullable=False, server_default=NOTHING),
    Column("created_at", Moment, nullable=False, server_default=func.now()),
    one_of("feedback_type", FeedbackType),
    CheckConstraint("rating BETWEEN 1 AND 5", name="rating"),
)

routing_decisions = Table(
    "routing_decisions",
    metadata,
    Column("generation_id", UUID, ForeignKey("generations.id"), primary_key=True),
    Column("number", Integer, primary_key=True, comment="of the try that it is about, from 1"),
    Column("at", Moment, nullable=False, server_default=func.now()),
    Column("context", Text, nullable=False),
    Column(
        "candidates", JSONB, nullable=False, comment="model, provider, usd, pass_rate, usd_per_accepted, propensity"
    ),
    Column("excluded", JSONB, nullable=False, server_default=NOTHING, comment="models that cannot serve, and why"),
    Column("model", Text, nullable=False, comment="the one that was chosen"),
    Column("provider", Text, nullable=False),
    Column("propensity", Float, nullable=False, comment="probability with which it was chosen"),
    Column("version", Text, nullable=False, comment="of the policy"),
    CheckConstraint("propensity > 0 AND propensity <= 1", name="propensity"),
)
Index("routing_decisions_at_idx", routing_decisions.c.at)
# What routing learns from, latest first.
Index(
    "attempts_results_idx",
    attempts.c.finished_at,
    postgresql_where=text("kind = 'image' AND outcome IN ('completed', 'rejected', 'failed')"),
)

preference_pairs = Table(
    "preference_pairs",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("at", Moment, nullable=False, server_default=func.now()),
    Column("user_id", Text, nullable=False),
    Column("preferred_id", UUID, ForeignKey("generation_assets.id"), nullable=False, index=True),
    Column("other_id", UUID, ForeignKey("generation_assets.id"), nullable=False, index=True),
    CheckConstraint("preferred_id <> other_id", name="two_pictures"),
)

preference_heads = Table(
    "preference_heads",
    metadata,
    Column("team", Text, primary_key=True, server_default=LOCAL_TEAM, comment="whose choices it was fitted to"),
    Column("digest", Text, primary_key=True, comment="of the choices and the parameters"),
    Column("fingerprint", Text, primary_key=True, comment="of the model whose embeddings it reads"),
    Column("version", Text, nullable=False),
    Column("standing", Text, nullable=False),
    Column("pairs", Integer, nullable=False),
    Column("accuracy", Float, comment="of held-out choices"),
    Column("low", Float),
    Column("high", Float),
    Column("penalty", Float),
    Column("bins", JSONB, nullable=False, comment="reliability of its confidence on held-out choices"),
    Column("weights", LargeBinary, nullable=False, comment="float64, little endian"),
    Column("offsets", JSONB, nullable=False, comment="by user: base64 of the same"),
    Column("trained_at", Moment, nullable=False, server_default=func.now()),
)
Index(
    "preference_heads_latest_idx",
    preference_heads.c.team,
    preference_heads.c.fingerprint,
    preference_heads.c.trained_at.desc(),
)

personas = Table(
    "personas",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("team", Text, nullable=False, server_default=LOCAL_TEAM, comment="whose keys see it"),
    Column("name", Text, nullable=False),
    Column("document", JSONB, nullable=False, comment="as a file holds it"),
    Column("digest", Text, nullable=False, comment="of what is learned, without the name"),
    Column("created_at", Moment, nullable=False, server_default=func.now()),
    Column("updated_at", Moment, nullable=False, server_default=func.now()),
    UniqueConstraint("team", "name"),
)
