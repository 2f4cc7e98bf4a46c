CREATE TABLE characters (
    id UUID NOT NULL,
    name TEXT NOT NULL,
    description TEXT DEFAULT '' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT characters_pkey PRIMARY KEY (id),
    CONSTRAINT characters_name_key UNIQUE (name)
);

CREATE TABLE embeddings (
    sha256 TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    vector BYTEA NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT embeddings_pkey PRIMARY KEY (sha256, fingerprint)
);

COMMENT ON COLUMN embeddings.sha256 IS 'of the picture''s file';

COMMENT ON COLUMN embeddings.fingerprint IS 'of the model and its preprocessing';

COMMENT ON COLUMN embeddings.vector IS 'float32, little endian';

CREATE TABLE lanes (
    name TEXT NOT NULL,
    provider TEXT NOT NULL,
    rate_limit TEXT,
    concurrency INTEGER NOT NULL,
    closed_until TIMESTAMP WITH TIME ZONE,
    reason TEXT,
    last_error TEXT,
    last_error_at TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT lanes_pkey PRIMARY KEY (name),
    CONSTRAINT lanes_concurrency_check CHECK (concurrency > 0),
    CONSTRAINT lanes_closed_check CHECK ((closed_until IS NULL) = (reason IS NULL))
);

CREATE INDEX lanes_provider_idx ON lanes (provider);

COMMENT ON COLUMN lanes.rate_limit IS 'Celery''s notation, as 60/m; null: none';

CREATE UNLOGGED TABLE model_inputs (
    asset_id UUID NOT NULL,
    attempt_id UUID NOT NULL,
    pixels BYTEA NOT NULL,
    size INTEGER NOT NULL,
    preprocessing TEXT NOT NULL,
    CONSTRAINT model_inputs_pkey PRIMARY KEY (asset_id)
);

CREATE INDEX model_inputs_attempt_id_idx ON model_inputs (attempt_id);

CREATE TABLE scoring_models (
    name TEXT NOT NULL,
    preprocessing JSONB NOT NULL,
    preprocessing_digest TEXT NOT NULL,
    seen_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT scoring_models_pkey PRIMARY KEY (name)
);

CREATE TABLE spending_limits (
    scope TEXT NOT NULL,
    subject TEXT NOT NULL,
    limit_usd NUMERIC(14, 6) NOT NULL,
    CONSTRAINT spending_limits_pkey PRIMARY KEY (scope, subject),
    CONSTRAINT spending_limits_scope_check CHECK (scope IN ('lane_day', 'user_month')),
    CONSTRAINT spending_limits_limit_check CHECK (limit_usd > 0)
);

COMMENT ON COLUMN spending_limits.subject IS 'a user, or a lane';

CREATE TABLE ticks (
    name TEXT NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT ticks_pkey PRIMARY KEY (name)
);

CREATE TABLE batches (
    id UUID NOT NULL,
    name TEXT NOT NULL,
    user_id TEXT NOT NULL,
    character_id UUID,
    settings JSONB DEFAULT '{}'::jsonb NOT NULL,
    priority INTEGER DEFAULT '1' NOT NULL,
    limit_usd NUMERIC(14, 6),
    charged_usd NUMERIC(14, 6) DEFAULT '0' NOT NULL,
    held_usd NUMERIC(14, 6) DEFAULT '0' NOT NULL,
    in_doubt_usd NUMERIC(14, 6) DEFAULT '0' NOT NULL,
    paused_at TIMESTAMP WITH TIME ZONE,
    paused_reason TEXT,
    stopped_reason TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT batches_pkey PRIMARY KEY (id),
    CONSTRAINT batches_user_id_name_key UNIQUE (user_id, name),
    CONSTRAINT batches_balances_check CHECK (charged_usd >= 0 AND held_usd >= 0 AND in_doubt_usd >= 0),
    CONSTRAINT batches_limit_check CHECK (limit_usd > 0),
    CONSTRAINT batches_priority_check CHECK (priority BETWEEN 1 AND 100),
    CONSTRAINT batches_paused_check CHECK ((paused_at IS NULL) = (paused_reason IS NULL)),
    CONSTRAINT batches_character_id_fkey FOREIGN KEY(character_id) REFERENCES characters (id)
);

COMMENT ON COLUMN batches.priority IS 'share of the lanes; 2 gets twice of 1';

COMMENT ON COLUMN batches.limit_usd IS 'null: no limit';

COMMENT ON COLUMN batches.stopped_reason IS '''budget'' when nothing is live and the next hold does not fit';

CREATE TABLE character_references (
    character_id UUID NOT NULL,
    position INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    r2_key TEXT NOT NULL,
    media_type TEXT NOT NULL,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    source_url TEXT,
    CONSTRAINT character_references_pkey PRIMARY KEY (character_id, position),
    CONSTRAINT character_references_character_id_fkey FOREIGN KEY(character_id) REFERENCES characters (id) ON DELETE CASCADE
);

COMMENT ON COLUMN character_references.source_url IS 'where a provider can read it, if it has a public address';

CREATE TABLE threshold_versions (
    character_id UUID NOT NULL,
    version INTEGER NOT NULL,
    core FLOAT NOT NULL,
    style FLOAT NOT NULL,
    origin TEXT NOT NULL,
    model TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT threshold_versions_pkey PRIMARY KEY (character_id, version),
    CONSTRAINT threshold_versions_cosines_check CHECK (core BETWEEN -1 AND 1 AND style BETWEEN -1 AND 1),
    CONSTRAINT threshold_versions_character_id_fkey FOREIGN KEY(character_id) REFERENCES characters (id) ON DELETE CASCADE
);

COMMENT ON COLUMN threshold_versions.origin IS '''default'' or ''calibrated (date, n, AUC)''';

COMMENT ON COLUMN threshold_versions.model IS 'the model the thresholds were fitted to; null for defaults';

CREATE TABLE generations (
    id UUID NOT NULL,
    batch_id UUID NOT NULL,
    user_id TEXT NOT NULL,
    position INTEGER NOT NULL,
    theme TEXT,
    variation TEXT,
    prompt TEXT NOT NULL,
    character_id UUID,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    settings JSONB DEFAULT '{}'::jsonb NOT NULL,
    pipeline_data JSONB DEFAULT '{}'::jsonb NOT NULL,
    identity BYTEA NOT NULL,
    occurrence INTEGER NOT NULL,
    hold_usd NUMERIC(14, 6) NOT NULL,
    price_usd NUMERIC(14, 6) NOT NULL,
    state TEXT DEFAULT 'queued' NOT NULL,
    status TEXT GENERATED ALWAYS AS (CASE WHEN state IN ('preparing', 'queued') THEN 'pending' WHEN state IN ('admitted', 'collecting', 'generating', 'in_doubt', 'submitting', 'validating') THEN 'processing' WHEN state IN ('completed') THEN 'completed' WHEN state IN ('canceled', 'failed', 'rejected') THEN 'failed' END) STORED,
    cost NUMERIC(14, 6) DEFAULT '0' NOT NULL,
    tries INTEGER DEFAULT '0' NOT NULL,
    not_before TIMESTAMP WITH TIME ZONE,
    cancel_requested_at TIMESTAMP WITH TIME ZONE,
    error_code TEXT,
    error_message TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    completed_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT generations_pkey PRIMARY KEY (id),
    CONSTRAINT generations_batch_id_identity_occurrence_key UNIQUE (batch_id, identity, occurrence),
    CONSTRAINT generations_state_check CHECK (state IN ('admitted', 'canceled', 'collecting', 'completed', 'failed', 'generating', 'in_doubt', 'preparing', 'queued', 'rejected', 'submitting', 'validating')),
    CONSTRAINT generations_finish_time_check CHECK ((state IN ('canceled', 'completed', 'failed', 'rejected')) = (completed_at IS NOT NULL)),
    CONSTRAINT generations_reason_check CHECK ((state = 'failed') <= (error_code IS NOT NULL)),
    CONSTRAINT generations_money_check CHECK (hold_usd > 0 AND price_usd >= 0 AND cost >= 0),
    CONSTRAINT generations_identity_check CHECK (octet_length(identity) = 32 AND occurrence >= 0),
    CONSTRAINT generations_batch_id_fkey FOREIGN KEY(batch_id) REFERENCES batches (id),
    CONSTRAINT generations_character_id_fkey FOREIGN KEY(character_id) REFERENCES characters (id)
);

CREATE INDEX generations_batch_id_state_idx ON generations (batch_id, state);

CREATE INDEX generations_queue_idx ON generations (provider, batch_id, position, id) WHERE state = 'queued';

CREATE INDEX generations_user_id_created_at_idx ON generations (user_id, created_at DESC);

COMMENT ON COLUMN generations.position IS 'row of the prompt file, from 0';

COMMENT ON COLUMN generations.identity IS 'digest of normalised prompt and effective settings';

COMMENT ON COLUMN generations.occurrence IS 'number among equals, from 0';

COMMENT ON COLUMN generations.hold_usd IS 'the most one attempt can cost';

COMMENT ON COLUMN generations.price_usd IS 'expected charge, booked where the provider names none';

COMMENT ON COLUMN generations.cost IS 'sum of what its attempts were charged';

COMMENT ON COLUMN generations.not_before IS 'a queued generation waits until then';

COMMENT ON COLUMN generations.completed_at IS 'when it became final, whatever the final state';

CREATE TABLE strides (
    batch_id UUID NOT NULL,
    provider TEXT NOT NULL,
    pass FLOAT NOT NULL,
    CONSTRAINT strides_pkey PRIMARY KEY (batch_id, provider),
    CONSTRAINT strides_batch_id_fkey FOREIGN KEY(batch_id) REFERENCES batches (id) ON DELETE CASCADE
);

COMMENT ON COLUMN strides.pass IS 'virtual time of stride scheduling; the smallest is next';

CREATE TABLE attempts (
    id UUID NOT NULL,
    generation_id UUID NOT NULL,
    batch_id UUID NOT NULL,
    kind TEXT DEFAULT 'image' NOT NULL,
    number INTEGER NOT NULL,
    lane TEXT NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    state TEXT DEFAULT 'admitted' NOT NULL,
    outcome TEXT,
    hold_usd NUMERIC(14, 6) NOT NULL,
    hold_state TEXT DEFAULT 'held' NOT NULL,
    charged_usd NUMERIC(14, 6),
    token TEXT NOT NULL,
    sent_prompt TEXT,
    job_id TEXT,
    published_at TIMESTAMP WITH TIME ZONE,
    lease_token UUID,
    lease_until TIMESTAMP WITH TIME ZONE,
    leased_by TEXT,
    step_tries INTEGER DEFAULT '0' NOT NULL,
    deaths INTEGER DEFAULT '0' NOT NULL,
    due_at TIMESTAMP WITH TIME ZONE,
    deadline_at TIMESTAMP WITH TIME ZONE,
    percent INTEGER,
    result JSONB DEFAULT '{}'::jsonb NOT NULL,
    error_code TEXT,
    error_message TEXT,
    blame TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    intent_at TIMESTAMP WITH TIME ZONE,
    doubted_at TIMESTAMP WITH TIME ZONE,
    absent_since TIMESTAMP WITH TIME ZONE,
    accepted_at TIMESTAMP WITH TIME ZONE,
    made_at TIMESTAMP WITH TIME ZONE,
    stored_at TIMESTAMP WITH TIME ZONE,
    finished_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT attempts_pkey PRIMARY KEY (id),
    CONSTRAINT attempts_generation_id_kind_number_key UNIQUE (generation_id, kind, number),
    CONSTRAINT attempts_lane_job_id_key UNIQUE (lane, job_id),
    CONSTRAINT attempts_state_check CHECK (state IN ('admitted', 'collecting', 'finished', 'generating', 'in_doubt', 'submitting', 'validating')),
    CONSTRAINT attempts_outcome_check CHECK (outcome IN ('canceled', 'completed', 'failed', 'given_back', 'rejected')),
    CONSTRAINT attempts_hold_state_check CHECK (hold_state IN ('charged', 'held', 'in_doubt', 'released')),
    CONSTRAINT attempts_finish_time_check CHECK ((state = 'finished') = (finished_at IS NOT NULL)),
    CONSTRAINT attempts_outcome_if_finished_check CHECK ((state = 'finished') = (outcome IS NOT NULL)),
    CONSTRAINT attempts_charge_check CHECK ((hold_state = 'charged') = (charged_usd IS NOT NULL)),
    CONSTRAINT attempts_no_hold_when_finished_check CHECK (state <> 'finished' OR hold_state IN ('charged', 'released')),
    CONSTRAINT attempts_doubt_check CHECK ((state = 'in_doubt') = (hold_state = 'in_doubt')),
    CONSTRAINT attempts_lease_check CHECK ((lease_token IS NULL) = (lease_until IS NULL)),
    CONSTRAINT attempts_job_check CHECK (state <> 'generating' OR job_id IS NOT NULL),
    CONSTRAINT attempts_due_check CHECK (state <> 'generating' OR due_at IS NOT NULL),
    CONSTRAINT attempts_money_check CHECK (hold_usd > 0 AND charged_usd >= 0),
    CONSTRAINT attempts_generation_id_fkey FOREIGN KEY(generation_id) REFERENCES generations (id),
    CONSTRAINT attempts_batch_id_fkey FOREIGN KEY(batch_id) REFERENCES batches (id),
    CONSTRAINT attempts_lane_fkey FOREIGN KEY(lane) REFERENCES lanes (name),
    CONSTRAINT attempts_token_key UNIQUE (token)
);

CREATE INDEX attempts_batch_id_idx ON attempts (batch_id) WHERE state <> 'finished';

CREATE INDEX attempts_due_idx ON attempts (lane, due_at) WHERE state = 'generating';

CREATE INDEX attempts_in_flight_idx ON attempts (lane, state) WHERE state IN ('admitted', 'generating', 'in_doubt', 'submitting');

CREATE INDEX attempts_live_idx ON attempts (state, published_at) WHERE state <> 'finished';

CREATE UNIQUE INDEX attempts_one_live_idx ON attempts (generation_id, kind) WHERE state <> 'finished';

COMMENT ON COLUMN attempts.number IS 'try of this generation and kind, from 1';

COMMENT ON COLUMN attempts.token IS 'unguessable; travels where the wire carries it back';

COMMENT ON COLUMN attempts.sent_prompt IS 'the text as sent, flags included';

COMMENT ON COLUMN attempts.published_at IS 'when its task was last published; later than now: not before then';

COMMENT ON COLUMN attempts.step_tries IS 'tries of the present step';

COMMENT ON COLUMN attempts.deaths IS 'leases of the present step that ran out';

COMMENT ON COLUMN attempts.due_at IS 'next look at the provider';

COMMENT ON COLUMN attempts.deadline_at IS 'after this the job is overdue';

COMMENT ON COLUMN attempts.intent_at IS 'written before the request leaves';

COMMENT ON COLUMN attempts.doubted_at IS 'when the reply was given up; the job may exist';

COMMENT ON COLUMN attempts.absent_since IS 'begin of the first complete listing that did not show the job';

CREATE TABLE generation_assets (
    id UUID NOT NULL,
    generation_id UUID NOT NULL,
    attempt_id UUID NOT NULL,
    position INTEGER NOT NULL,
    provider_id TEXT NOT NULL,
    asset_type TEXT DEFAULT 'image' NOT NULL,
    r2_key TEXT,
    cdn_url TEXT,
    sha256 TEXT,
    media_type TEXT,
    file_size BIGINT,
    width INTEGER,
    height INTEGER,
    best BOOLEAN DEFAULT false NOT NULL,
    missing_reason TEXT,
    metadata JSONB DEFAULT '{}'::jsonb NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    uploaded_at TIMESTAMP WITH TIME ZONE,
    upload_tried_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT generation_assets_pkey PRIMARY KEY (id),
    CONSTRAINT generation_assets_attempt_id_position_key UNIQUE (attempt_id, position),
    CONSTRAINT generation_assets_stored_or_missing_check CHECK ((r2_key IS NULL) = (missing_reason IS NOT NULL)),
    CONSTRAINT generation_assets_generation_id_fkey FOREIGN KEY(generation_id) REFERENCES generations (id),
    CONSTRAINT generation_assets_attempt_id_fkey FOREIGN KEY(attempt_id) REFERENCES attempts (id)
);

CREATE INDEX generation_assets_generation_id_idx ON generation_assets (generation_id);

CREATE INDEX generation_assets_waiting_idx ON generation_assets (upload_tried_at ASC NULLS FIRST)
    WHERE uploaded_at IS NULL AND r2_key IS NOT NULL;

COMMENT ON COLUMN generation_assets.position IS 'the provider''s order, from 0';

COMMENT ON COLUMN generation_assets.missing_reason IS 'set where the picture could not be had';

COMMENT ON COLUMN generation_assets.uploaded_at IS 'when it was in the bucket; null while it is kept in a folder alone';

COMMENT ON COLUMN generation_assets.upload_tried_at IS 'when somebody last set out to upload it';

CREATE TABLE ledger_entries (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    user_id TEXT NOT NULL,
    batch_id UUID NOT NULL,
    attempt_id UUID NOT NULL,
    lane TEXT NOT NULL,
    kind TEXT NOT NULL,
    held_usd NUMERIC(14, 6) DEFAULT '0' NOT NULL,
    in_doubt_usd NUMERIC(14, 6) DEFAULT '0' NOT NULL,
    charged_usd NUMERIC(14, 6) DEFAULT '0' NOT NULL,
    reason TEXT NOT NULL,
    CONSTRAINT ledger_entries_pkey PRIMARY KEY (id),
    CONSTRAINT ledger_entries_kind_check CHECK (kind IN ('charge', 'doubt', 'hold', 'release')),
    CONSTRAINT ledger_entries_batch_id_fkey FOREIGN KEY(batch_id) REFERENCES batches (id),
    CONSTRAINT ledger_entries_attempt_id_fkey FOREIGN KEY(attempt_id) REFERENCES attempts (id)
);

CREATE INDEX ledger_entries_attempt_id_idx ON ledger_entries (attempt_id);

CREATE INDEX ledger_entries_batch_id_idx ON ledger_entries (batch_id);

CREATE INDEX ledger_entries_lane_charges_idx ON ledger_entries (lane, at) WHERE kind = 'charge';

CREATE INDEX ledger_entries_user_charges_idx ON ledger_entries (user_id, at) WHERE kind = 'charge';

COMMENT ON COLUMN ledger_entries.held_usd IS 'change of what is held';

COMMENT ON COLUMN ledger_entries.in_doubt_usd IS 'change of what is in doubt';

COMMENT ON COLUMN ledger_entries.charged_usd IS 'change of what is charged';

CREATE TABLE verdicts (
    asset_id UUID NOT NULL,
    character_id UUID NOT NULL,
    core FLOAT NOT NULL,
    core_threshold FLOAT NOT NULL,
    core_passed BOOLEAN GENERATED ALWAYS AS (core >= core_threshold) STORED,
    style FLOAT NOT NULL,
    style_threshold FLOAT NOT NULL,
    style_passed BOOLEAN GENERATED ALWAYS AS (style >= style_threshold) STORED,
    passed BOOLEAN GENERATED ALWAYS AS (core >= core_threshold AND style >= style_threshold) STORED,
    threshold_version INTEGER NOT NULL,
    threshold_origin TEXT NOT NULL,
    origin JSONB NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT verdicts_pkey PRIMARY KEY (asset_id, character_id),
    CONSTRAINT verdicts_asset_id_fkey FOREIGN KEY(asset_id) REFERENCES generation_assets (id) ON DELETE CASCADE,
    CONSTRAINT verdicts_character_id_fkey FOREIGN KEY(character_id) REFERENCES characters (id)
);

COMMENT ON COLUMN verdicts.origin IS 'model, revision, preprocessing, dtype, references';

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the ledger is append-only: book a counter-entry instead of a % ', TG_OP;
END $$;

CREATE TRIGGER ledger_entries_append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_entries
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE VIEW generation_summary AS
SELECT g.id, g.user_id, g.batch_id, g.status, g.state, g.prompt, g.provider, g.model, g.cost, g.error_message,
       g.created_at, g.updated_at, g.completed_at,
       extract(epoch FROM g.completed_at - g.created_at)::double precision AS duration_seconds,
       count(a.id) FILTER (WHERE a.r2_key IS NOT NULL) AS asset_count,
       array_agg(a.cdn_url ORDER BY a.position) FILTER (WHERE a.cdn_url IS NOT NULL) AS cdn_urls
FROM generations g LEFT JOIN generation_assets a ON a.generation_id = g.id
GROUP BY g.id;

CREATE VIEW user_generation_stats AS
SELECT user_id,
       count(*) AS total_generations,
       count(*) FILTER (WHERE status = 'completed') AS completed_generations,
       count(*) FILTER (WHERE status = 'failed') AS failed_generations,
       sum(cost) AS total_cost,
       avg(cost) FILTER (WHERE status = 'completed') AS avg_cost,
       avg(extract(epoch FROM completed_at - created_at)) FILTER (WHERE status = 'completed')::double precision
           AS avg_duration_seconds,
       max(created_at) AS last_generation_at
FROM generations GROUP BY user_id;

CREATE VIEW spend_daily AS
SELECT (at AT TIME ZONE 'UTC')::date AS day, user_id, lane,
       sum(charged_usd) AS charged_usd, count(*) AS charges
FROM ledger_entries WHERE kind = 'charge'
GROUP BY 1, 2, 3;
