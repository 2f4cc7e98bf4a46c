"""The tables of the queue and the books, with their invariants as constraints.

Enumerations are TEXT with a CHECK generated from `domain.states`. Money is NUMERIC(14,6) in US dollars. Times are
TIMESTAMPTZ. Ids are UUIDv7, made by the writer. Views, triggers and functions are only in the migrations. Tables of the
picture check are in `db.schema_checks`, those of the HTTP API in `db.schema_api`.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
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
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID

from db.column_types import NOTHING, Moment, Usd, metadata, one_of, quoted
from domain.access import LOCAL_TEAM
from domain.faults import CODES
from domain.states import (
    FINAL,
    IN_FLIGHT,
    PUBLIC_STATUS,
    AttemptKind,
    AttemptState,
    GenerationState,
    HoldState,
    LedgerKind,
    Outcome,
)

_WAITING = text("uploaded_at IS NULL AND r2_key IS NOT NULL")


def _status_case() -> str:
    by_status: dict[str, list[str]] = {}
    for state, status in PUBLIC_STATUS.items():
        by_status.setdefault(status, []).append(state)
    arms = " ".join(f"WHEN state IN ({quoted(states)}) THEN '{status}'" for status, states in by_status.items())
    return f"CASE {arms} END"


characters = Table(
    "characters",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("name", Text, nullable=False),
    Column("description", Text, nullable=False, server_default=""),
    Column("created_at", Moment, nullable=False, server_default=func.now()),
    Column("team", Text, nullable=False, server_default=LOCAL_TEAM, comment="whose keys see it"),
    Column("removed_at", Moment, comment="from then on no new prompt can name it; what names it already keeps it"),
)
Index(
    "characters_team_name_key",
    characters.c.team,
    characters.c.name,
    unique=True,
    postgresql_where=characters.c.removed_at.is_(None),
)

batches = Table(
    "batches",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("name", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("character_id", UUID, ForeignKey("characters.id")),
    Column("settings", JSONB, nullable=False, server_default=NOTHING),
    Column("try_policy", JSONB, nullable=False, server_default=NOTHING, comment="further tries after a rejection"),
    Column("priority", Integer, nullable=False, server_default="1", comment="share of the lanes; 2 gets twice of 1"),
    Column("limit_usd", Usd, comment="null: no limit"),
    Column("limit_set_at", Moment, nullable=False, server_default=func.now(), comment="or confirmed by a resume"),
    Column("charged_usd", Usd, nullable=False, server_default="0"),
    Column("held_usd", Usd, nullable=False, server_default="0"),
    Column("in_doubt_usd", Usd, nullable=False, server_default="0"),
    Column("paused_at", Moment),
    Column("paused_reason", Text),
    Column("stopped_reason", Text, comment="'budget' when nothing is live and the next hold does not fit"),
    Column("created_at", Moment, nullable=False, server_default=func.now()),
    Column("team", Text, nullable=False, server_default=LOCAL_TEAM, comment="whose keys see it"),
    Column("key_id", UUID, comment="the API key that made it; null: the command line or a script"),
    UniqueConstraint("team", "user_id", "name"),
    CheckConstraint("charged_usd >= 0 AND held_usd >= 0 AND in_doubt_usd >= 0", name="balances"),
    CheckConstraint("limit_usd > 0", name="limit"),
    CheckConstraint("priority BETWEEN 1 AND 100", name="priority"),
    CheckConstraint("(paused_at IS NULL) = (paused_reason IS NULL)", name="paused"),
)

generations = Table(
    "generations",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("batch_id", UUID, ForeignKey("batches.id"), nullable=False),
    Column("user_id", Text, nullable=False),
    Column("position", Integer, nullable=False, comment="row of the prompt file, from 0"),
    Column("theme", Text),
    Column("variation", Text),
    Column("prompt", Text, nullable=False),
    Column("character_id", UUID, ForeignKey("characters.id")),
    Column("provider", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("settings", JSONB, nullable=False, server_default=NOTHING),
    Column("pipeline_data", JSONB, nullable=False, server_default=NOTHING),
    Column("further_character_ids", ARRAY(UUID), nullable=False, server_default="{}", comment="beside character_id"),
    Column("try_policy", JSONB, nullable=False, server_default=NOTHING, comment="wins over its batch's, key by key"),
    Column("changes", JSONB, nullable=False, server_default=NOTHING, comment="what the next try asks for instead"),
    Column("identity", LargeBinary, nullable=False, comment="digest of normalised prompt and effective settings"),
    Column("occurrence", Integer, nullable=False, comment="number among equals, from 0"),
    Column("hold_usd", Usd, nullable=False, comment="the most one attempt can cost"),
    Column("price_usd", Usd, nullable=False, comment="expected charge, booked where the provider names none"),
    Column("state", Text, nullable=False, server_default=GenerationState.QUEUED.value),
    Column("status", Text, Computed(_status_case(), persisted=True)),
    Column("cost", Usd, nullable=False, server_default="0", comment="sum of what its attempts were charged"),
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("not_before", Moment, comment="a queued generation waits until then"),
    Column("cancel_requested_at", Moment),
    Column("error_code", Text),
    Column("error_message", Text),
    Column("created_at", Moment, nullable=False, server_default=func.now()),
    Column("updated_at", Moment, nullable=False, server_default=func.now()),
    Column("completed_at", Moment, comment="when it became final, whatever the final state"),
    UniqueConstraint("batch_id", "identity", "occurrence"),
    one_of("state", GenerationState),
    CheckConstraint(f"(state IN ({quoted(FINAL)})) = (completed_at IS NOT NULL)", name="finish_time"),
    CheckConstraint("(state = 'failed') <= (error_code IS NOT NULL)", name="reason"),
    CheckConstraint("hold_usd > 0 AND price_usd >= 0 AND cost >= 0", name="money"),
    CheckConstraint("octet_length(identity) = 32 AND occurrence >= 0", name="identity"),
)
# The head of every batch's queue in one index step, and the batches that have one by a skip scan.
Index(
    "generations_queue_idx",
    generations.c.provider,
    generations.c.batch_id,
    generations.c.position,
    generations.c.id,
    postgresql_where=text("state = 'queued'"),
)
Index("generations_batch_id_state_idx", generations.c.batch_id, generations.c.state)
Index("generations_user_id_created_at_idx", generations.c.user_id, generations.c.created_at.desc())

attempts = Table(
    "attempts",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("generation_id", UUID, ForeignKey("generations.id"), nullable=False),
    Column("batch_id", UUID, ForeignKey("batches.id"), nullable=False),
    Column("kind", Text, nullable=False, server_default=AttemptKind.IMAGE.value),
    Column("number", Integer, nullable=False, comment="try of this generation and kind, from 1"),
    Column("lane", Text, ForeignKey("lanes.name"), nullable=False),
    Column("provider", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("state", Text, nullable=False, server_default=AttemptState.ADMITTED.value),
    Column("outcome", Text),
    Column("hold_usd", Usd, nullable=False),
    Column("price_usd", Usd, comment="expected charge of this call; null where its generation's holds"),
    Column("hold_state", Text, nullable=False, server_default=HoldState.HELD.value),
    Column("charged_usd", Usd),
    Column("token", Text, nullable=False, unique=True, comment="unguessable; travels where the wire carries it back"),
    Column("changes", JSONB, nullable=False, server_default=NOTHING, comment="what this try asked for instead"),
    Column("sent_prompt", Text, comment="the text as sent, flags included"),
    Column("job_id", Text),
    Column("published_at", Moment, comment="when its task was last published; later than now: not before then"),
    Column("lease_token", UUID),
    Column("lease_until", Moment),
    Column("leased_by", Text),
    Column("step_tries", Integer, nullable=False, server_default="0", comment="tries of the present step"),
    Column("deaths", Integer, nullable=False, server_default="0", comment="leases of the present step that ran out"),
    Column("due_at", Moment, comment="next look at the provider"),
    Column("deadline_at", Moment, comment="after this the job is overdue"),
    Column("stop_asked_at", Moment, comment="when the provider took our wish to stop the job"),
    Column("percent", Integer),
    Column("result", JSONB, nullable=False, server_default=NOTHING),
    Column("error_code", Text),
    Column("error_message", Text),
    Column("blame", Text),
    Column("illegal_prompt", Boolean, nullable=False, server_default=text("false"), comment="a strike on the account"),
    Column("created_at", Moment, nullable=False, server_default=func.now()),
    Column("intent_at", Moment, comment="written before the request leaves"),
    Column("doubted_at", Moment, comment="when the reply was given up; the job may exist"),
    Column("absent_since", Moment, comment="begin of the first complete listing that did not show the job"),
    Column("unsettled_because", Text, comment="why the last listing could not settle the doubt"),
    Column("late_look_at", Moment, comment="settled as lost: when to look for its job again; null: never"),
    Column("found_late_at", Moment, comment="when its job turned up although it had been settled as lost"),
    Column("accepted_at", Moment),
    Column("made_at", Moment),
    Column("stored_at", Moment),
    Column("finished_at", Moment),
    UniqueConstraint("generation_id", "kind", "number"),
    UniqueConstraint("lane", "job_id"),
    one_of("kind", AttemptKind),
    one_of("state", AttemptState),
    one_of("outcome", Outcome),
    one_of("hold_state", HoldState),
    CheckConstraint("(state = 'finished') = (finished_at IS NOT NULL)", name="finish_time"),
    CheckConstraint("(state = 'finished') = (outcome IS NOT NULL)", name="outcome_if_finished"),
    CheckConstraint("(hold_state = 'charged') = (charged_usd IS NOT NULL)", name="charge"),
    CheckConstraint("state <> 'finished' OR hold_state IN ('charged', 'released')", name="no_hold_when_finished"),
    CheckConstraint("(state = 'in_doubt') = (hold_state = 'in_doubt')", name="doubt"),
    CheckConstraint("(lease_token IS NULL) = (lease_until IS NULL)", name="lease"),
    CheckConstraint("state <> 'generating' OR job_id IS NOT NULL", name="job"),
    CheckConstraint("state <> 'generating' OR due_at IS NOT NULL", name="due"),
    CheckConstraint("hold_usd > 0 AND charged_usd >= 0", name="money"),
)
Index(
    "attempts_one_live_idx",
    attempts.c.generation_id,
    attempts.c.kind,
    unique=True,
    # Several jobs of one generation may turn up late at the same time, and each was paid for.
    postgresql_where=text("state <> 'finished' AND kind <> 'late'"),
)
Index("attempts_due_idx", attempts.c.lane, attempts.c.due_at, postgresql_where=text("state = 'generating'"))
Index(
    "attempts_in_flight_idx",
    attempts.c.lane,
    attempts.c.state,
    postgresql_where=text(f"state IN ({quoted(IN_FLIGHT)})"),
)
# What a listing must show: the jobs that were asked for since a doubt's intent.
Index("attempts_asked_idx", attempts.c.lane, attempts.c.intent_at, postgresql_where=text("job_id IS NOT NULL"))
Index("attempts_live_idx", attempts.c.state, attempts.c.published_at, postgresql_where=text("state <> 'finished'"))
Index(
    "attempts_late_look_idx",
    attempts.c.lane,
    attempts.c.late_look_at,
    postgresql_where=text("late_look_at IS NOT NULL"),
)
Index(
    "attempts_judged_idx",
    attempts.c.batch_id,
    attempts.c.finished_at,
    postgresql_where=text(f"outcome IN ({quoted((Outcome.COMPLETED, Outcome.REJECTED))})"),
)
Index("attempts_batch_id_idx", attempts.c.batch_id, postgresql_where=text("state <> 'finished'"))
# A run of faults: those of the lane since its last success.
Index(
    "attempts_faults_idx",
    attempts.c.lane,
    attempts.c.finished_at,
    postgresql_where=text(f"error_code IN ({quoted(CODES)})"),
)
Index("attempts_made_idx", attempts.c.lane, attempts.c.made_at, postgresql_where=text("made_at IS NOT NULL"))
Index("attempts_illegal_prompts_idx", attempts.c.lane, attempts.c.finished_at, postgresql_where=text("illegal_prompt"))

generation_assets = Table(
    "generation_assets",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("generation_id", UUID, ForeignKey("generations.id"), nullable=False, index=True),
    Column("attempt_id", UUID, ForeignKey("attempts.id"), nullable=False),
    Column("position", Integer, nullable=False, comment="the provider's order, from 0"),
    Column("provider_id", Text, nullable=False),
    Column("asset_type", Text, nullable=False, server_default="image"),
    Column("r2_key", Text),
    Column("cdn_url", Text),
    Column("sha256", Text),
    Column("media_type", Text),
    Column("file_size", BigInteger),
    Column("width", Integer),
    Column("height", Integer),
    Column("text_alignment", Float, comment="cosine of the picture with its prompt"),
    Column("text_alignment_by", JSONB, comment="model and revision that read it"),
    Column("near_duplicate_of", UUID, ForeignKey("generation_assets.id", ondelete="SET NULL")),
    Column("near_duplicate_score", Float, comment="cosine of the two pictures"),
    Column("best", Boolean, nullable=False, server_default=text("false")),
    Column("missing_reason", Text, comment="set where the picture could not be had"),
    Column("metadata", JSONB, nullable=False, server_default=NOTHING),
    Column("created_at", Moment, nullable=False, server_default=func.now()),
    Column(
        "uploaded_at", Moment, comment="when it, and its grid, were in the bucket; null while one is in a folder alone"
    ),
    Column("upload_tried_at", Moment, comment="when somebody last set out to upload it"),
    UniqueConstraint("attempt_id", "position"),
    CheckConstraint("(r2_key IS NULL) = (missing_reason IS NOT NULL)", name="stored_or_missing"),
)
Index("generation_assets_waiting_idx", generation_assets.c.upload_tried_at.nulls_first(), postgresql_where=_WAITING)

lanes = Table(
    "lanes",
    metadata,
    Column("name", Text, primary_key=True),
    Column("provider", Text, nullable=False, index=True),
    Column("rate_limit", Text, comment="Celery's notation, as 60/m; null: none"),
    Column("concurrency", Integer, nullable=False),
    Column("concurrency_origin", Text, nullable=False, server_default="setting"),
    Column("person_concurrency", Integer, comment="what a person allows; null: nobody has said"),
    Column("closed_until", Moment),
    Column("reason", Text),
    Column("last_error", Text),
    Column("last_error_at", Moment),
    Column("account_asked_at", Moment, comment="when the provider was last asked about the account"),
    Column("account_balance_usd", Usd, comment="money left by the provider's word; null: not said"),
    Column("account_held_usd", Usd, comment="set aside for running jobs by the provider's word"),
    Column("account_jobs", Integer, comment="jobs in flight that the provider allows"),
    Column("created_at", Moment, nullable=False, server_default=func.now()),
    CheckConstraint("concurrency > 0 AND person_concurrency > 0", name="concurrency"),
    one_of("concurrency_origin", ("account", "person", "setting")),
    CheckConstraint("(closed_until IS NULL) = (reason IS NULL)", name="closed"),
)

strides = Table(
    "strides",
    metadata,
    Column("batch_id", UUID, ForeignKey("batches.id", ondelete="CASCADE"), primary_key=True),
    Column("provider", Text, primary_key=True),
    Column("pass", Float, nullable=False, comment="virtual time of stride scheduling; the smallest is next"),
)

ledger_entries = Table(
    "ledger_entries",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("at", Moment, nullable=False, server_default=func.now()),
    Column("user_id", Text, nullable=False),
    Column("batch_id", UUID, ForeignKey("batches.id"), nullable=False, index=True),
    Column("attempt_id", UUID, ForeignKey("attempts.id"), nullable=False, index=True),
    Column("lane", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("held_usd", Usd, nullable=False, server_default="0", comment="change of what is held"),
    Column("in_doubt_usd", Usd, nullable=False, server_default="0", comment="change of what is in doubt"),
    Column("charged_usd", Usd, nullable=False, server_default="0", comment="change of what is charged"),
    Column("reason", Text, nullable=False),
    one_of("kind", LedgerKind),
)
Index(
    "ledger_entries_user_charges_idx",
    ledger_entries.c.user_id,
    ledger_entries.c.at,
    postgresql_where=text("kind = 'charge'"),
)
Index(
    "ledger_entries_lane_charges_idx",
    ledger_entries.c.lane,
    ledger_entries.c.at,
    postgresql_where=text("kind = 'charge'"),
)

spending_limits = Table(
    "spending_limits",
    metadata,
    Column("scope", Text, primary_key=True),
    Column("team", Text, primary_key=True, comment="of the user; empty for a lane, which all teams share"),
    Column("subject", Text, primary_key=True, comment="a user, or a lane"),
    Column("limit_usd", Usd, nullable=False),
    Column("set_at", Moment, nullable=False, server_default=func.now()),
    one_of("scope", ("user_month", "lane_day")),
    CheckConstraint("limit_usd > 0", name="limit"),
)

ticks = Table(
    "ticks",
    metadata,
    Column("name", Text, primary_key=True),
    Column("at", Moment, nullable=False),
    Column("said", JSONB, comment="by a look that finds something: a list of sentences"),
)

provider_events = Table(
    "provider_events",
    metadata,
    Column("lane", Text, ForeignKey("lanes.name"), primary_key=True),
    Column("event_id", Text, primary_key=True, comment="the provider's, or a digest of the body where it has none"),
    Column("attempt_id", UUID, ForeignKey("attempts.id"), index=True),
    Column("job_id", Text, comment="as the event names it, which proves nothing"),
    Column("received_at", Moment, nullable=False, server_default=func.now(), index=True),
)

generation_history = Table(
    "generation_history",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("at", Moment, nullable=False, server_default=func.now()),
    Column("generation_id", UUID, ForeignKey("generations.id"), nullable=False, index=True),
    Column("attempt_id", UUID, ForeignKey("attempts.id")),
    Column("from_state", Text, nullable=False),
    Column("to_state", Text, nullable=False),
    Column("actor", Text, nullable=False, comment="a person, or the rule that decided"),
    Column("reason", Text, nullable=False),
    Column("detail", JSONB, nullable=False, server_default=NOTHING),
)
