"""The tables of the HTTP API: keys, sessions, answers kept for repeated requests, deletions, events, webhooks."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID

from db.column_types import NOTHING, Moment, Usd, metadata, one_of
from db.schema import batches, generations
from domain.access import Scope

# What a team or a user has, newest first, page by page: ids are made in the order of time.
Index("batches_team_id_idx", batches.c.team, batches.c.id)
Index("batches_key_id_idx", batches.c.key_id, postgresql_where=batches.c.key_id.is_not(None))
Index("generations_user_id_id_idx", generations.c.user_id, generations.c.id)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("prefix", Text, nullable=False, unique=True, comment="shown; by it the key is found"),
    Column("digest", LargeBinary, nullable=False, comment="SHA-256 of the whole key, which is nowhere"),
    Column("name", Text, nullable=False, unique=True),
    Column("team", Text, nullable=False, index=True),
    Column("user_id", Text, nullable=False, comment="owner of what is made where a request names no user"),
    Column("member", Text, nullable=False, comment="whose key it is: who is named for what it did"),
    Column("scope", Text, nullable=False),
    Column("rate_limit", Text, comment="requests in Celery's notation, as 600/m; null: none"),
    Column("limit_usd", Usd, comment="what its batches of a calendar month (UTC) may spend; null: no limit"),
    Column("next_at", Moment, comment="theoretical arrival of the next request by the rate limit (GCRA)"),
    Column("created_at", Moment, nullable=False, server_default=func.now()),
    Column("last_used_at", Moment),
    Column("revoked_at", Moment),
    one_of("scope", Scope),
    CheckConstraint("octet_length(digest) = 32", name="digest"),
    CheckConstraint("limit_usd > 0", name="limit"),
)

api_sessions = Table(
    "api_sessions",
    metadata,
    Column("digest", LargeBinary, primary_key=True, comment="SHA-256 of the cookie"),
    Column("key_id", UUID, ForeignKey("api_keys.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("form_token", Text, nullable=False, comment="must come with every form of the page"),
    Column("expires_at", Moment, nullable=False, index=True),
)

kept_answers = Table(
    "kept_answers",
    metadata,
    Column("key_id", UUID, ForeignKey("api_keys.id", ondelete="CASCADE")),
    Column("idempotency_key", Text),
    Column("request", LargeBinary, nullable=False, comment="digest of path and body"),
    Column("answer", JSONB, comment="null: the request has not come to its end"),
    Column("created_at", Moment, nullable=False, server_default=func.now(), index=True),
    PrimaryKeyConstraint("key_id", "idempotency_key"),
)

deletions = Table(
    "deletions",
    metadata,
    Column("generation_id", UUID, ForeignKey("generations.id"), primary_key=True),
    Column("asked_at", Moment, nullable=False, server_default=func.now()),
    Column("asked_by", Text, nullable=False),
    Column("removed", Integer, nullable=False, server_default="0", comment="pictures"),
    Column("done_at", Moment, comment="when nothing of it lived any more and its pictures were gone"),
)
Index("deletions_open_idx", deletions.c.asked_at, postgresql_where=deletions.c.done_at.is_(None))

acts = Table(
    "acts",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("at", Moment, nullable=False, server_default=func.now()),
    Column("team", Text, nullable=False),
    Column("batch_id", UUID, ForeignKey("batches.id"), index=True),
    Column("generation_id", UUID, ForeignKey("generations.id"), index=True, comment="null: about the whole batch"),
    Column("actor", Text, nullable=False, comment="the member, and the user that the request named"),
    Column("key_name", Text, comment="null: on the command line or in a script"),
    Column("act", Text, nullable=False),
    Column("detail", JSONB, nullable=False, server_default=NOTHING),
)

event_demand = Table(
    "event_demand",
    metadata,
    Column("one", Integer, primary_key=True, autoincrement=False),
    Column("until", Moment, nullable=False, comment="triggers write events until then; the api role prolongs it"),
    CheckConstraint("one = 1", name="one"),
)

event_outbox = Table(
    "event_outbox",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("at", Moment, nullable=False, server_default=func.clock_timestamp()),
    Column("team", Text, nullable=False),
    Column("batch_id", UUID, nullable=False),
    Column("type", Text, nullable=False),
    Column("data", JSONB, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("team", Text),
    Column("number", BigInteger, comment="1, 2, 3, ... within the team, without a gap"),
    Column("at", Moment, nullable=False),
    Column("batch_id", UUID, nullable=False),
    Column("type", Text, nullable=False),
    Column("data", JSONB, nullable=False),
    PrimaryKeyConstraint("team", "number"),
)
Index("events_batch_id_number_idx", events.c.batch_id, events.c.number)
Index("events_at_idx", events.c.at)

event_counters = Table(
    "event_counters",
    metadata,
    Column("team", Text, primary_key=True),
    Column("last", BigInteger, nullable=False, comment="number of the team's newest event"),
)

batch_webhooks = Table(
    "batch_webhooks",
    metadata,
    Column("batch_id", UUID, ForeignKey("batches.id"), primary_key=True),
    Column("team", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("secret", Text, nullable=False, comment="signs each message; Standard Webhooks"),
    Column("delivered", BigInteger, nullable=False, server_default="0", comment="number of the last event taken"),
    Column("tries", Integer, nullable=False, server_default="0", comment="of the next event"),
    Column("failing_since", Moment),
    Column("due_at", Moment, nullable=False, server_default=func.now()),
    Column("last_error", Text),
    Column("given_up_at", Moment, comment="after a day of failures; a replay takes it up again"),
    Column("created_at", Moment, nullable=False, server_default=func.now()),
)
Index("batch_webhooks_due_idx", batch_webhooks.c.due_at, postgresql_where=batch_webhooks.c.given_up_at.is_(None))
