CREATE TABLE characters (
    id UUID NOT NULL,
    name TEXT NOT NULL,
    description TEXT DEFAULT '' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT characters_pkey PRIMARY KEY (id),
    CONSTRAINT characters_name_key UNIQUE (name)
);

CREATE TABLE embedding_frames (
    fingerprint TEXT NOT NULL,
    model TEXT NOT NULL,
    revision TEXT NOT NULL,
    preprocessing TEXT NOT NULL,
    dtype TEXT NOT NULL,
    core_centre BYTEA NOT NULL,
    style_centre BYTEA NOT NULL,
    style_spread BYTEA NOT NULL,
    arithmetic JSONB DEFAULT '{}'::jsonb NOT NULL,
    seen_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT embedding_frames_pkey PRIMARY KEY (fingerprint)
);

COMMENT ON COLUMN embedding_frames.model IS 'name or path as configured';

COMMENT ON COLUMN embedding_frames.revision IS 'digest of the weights';

COMMENT ON COLUMN embedding_frames.preprocessing IS 'its digest';

COMMENT ON COLUMN embedding_frames.arithmetic IS 'device, and what was measured there';

COMMENT ON COLUMN embedding_frames.seen_at IS 'when it was last loaded';

CREATE TABLE embeddings (
    sha256 TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    vector BYTEA NOT NULL,
    style BYTEA NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT embeddings_pkey PRIMARY KEY (sha256, fingerprint)
);

COMMENT ON COLUMN embeddings.sha256 IS 'of the picture''s file';

COMMENT ON COLUMN embeddings.fingerprint IS 'of the model and its preprocessing';

COMMENT ON COLUMN embeddings.vector IS 'the core embedding: float32, little endian';

COMMENT ON COLUMN embeddings.style IS 'channel statistics: float32, little endian';

CREATE TABLE lanes (
    name TEXT NOT NULL,
    provider TEXT NOT NULL,
    rate_limit TEXT,
    concurrency INTEGER NOT NULL,
    concurrency_origin TEXT DEFAULT 'setting' NOT NULL,
    person_concurrency INTEGER,
    closed_until TIMESTAMP WITH TIME ZONE,
    reason TEXT,
    last_error TEXT,
    last_error_at TIMESTAMP WITH TIME ZONE,
    account_asked_at TIMESTAMP WITH TIME ZONE,
    account_balance_usd NUMERIC(14, 6),
    account_held_usd NUMERIC(14, 6),
    account_jobs INTEGER,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT lanes_pkey PRIMARY KEY (name),
    CONSTRAINT lanes_concurrency_check CHECK (concurrency > 0 AND person_concurrency > 0),
    CONSTRAINT lanes_concurrency_origin_check CHECK (concurrency_origin IN ('account', 'person', 'setting')),
    CONSTRAINT lanes_closed_check CHECK ((closed_until IS NULL) = (reason IS NULL))
);

CREATE INDEX lanes_provider_idx ON lanes (provider);

COMMENT ON COLUMN lanes.rate_limit IS 'Celery''s notation, as 60/m; null: none';

COMMENT ON COLUMN lanes.person_concurrency IS 'what a person allows; null: nobody has said';

COMMENT ON COLUMN lanes.account_asked_at IS 'when the provider was last asked about the account';

COMMENT ON COLUMN lanes.account_balance_usd IS 'money left by the provider''s word; null: not said';

COMMENT ON COLUMN lanes.account_held_usd IS 'set aside for running jobs by the provider''s word';

COMMENT ON COLUMN lanes.account_jobs IS 'jobs in flight that the provider allows';

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
    set_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT spending_limits_pkey PRIMARY KEY (scope, subject),
    CONSTRAINT spending_limits_scope_check CHECK (scope IN ('lane_day', 'user_month')),
    CONSTRAINT spending_limits_limit_check CHECK (limit_usd > 0)
);

COMMENT ON COLUMN spending_limits.subject IS 'a user, or a lane';

CREATE TABLE ticks (
    name TEXT NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    said JSONB,
    CONSTRAINT ticks_pkey PRIMARY KEY (name)
);

COMMENT ON COLUMN ticks.said IS 'by a look that finds something: a list of sentences';

CREATE TABLE batches (
    id UUID NOT NULL,
    name TEXT NOT NULL,
    user_id TEXT NOT NULL,
    character_id UUID,
    settings JSONB DEFAULT '{}'::jsonb NOT NULL,
    try_policy JSONB DEFAULT '{}'::jsonb NOT NULL,
    priority INTEGER DEFAULT '1' NOT NULL,
    limit_usd NUMERIC(14, 6),
    limit_set_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
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

COMMENT ON COLUMN batches.try_policy IS 'further tries after a rejection';

COMMENT ON COLUMN batches.priority IS 'share of the lanes; 2 gets twice of 1';

COMMENT ON COLUMN batches.limit_usd IS 'null: no limit';

COMMENT ON COLUMN batches.limit_set_at IS 'or confirmed by a resume';

COMMENT ON COLUMN batches.stopped_reason IS '''budget'' when nothing is live and the next hold does not fit';

CREATE TABLE character_references (
    character_id UUID NOT NULL,
    position INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    r2_key TEXT NOT NULL,
    media_type TEXT NOT NULL,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    uploaded_at TIMESTAMP WITH TIME ZONE,
    upload_tried_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT character_references_pkey PRIMARY KEY (character_id, position),
    CONSTRAINT character_references_character_id_fkey FOREIGN KEY(character_id) REFERENCES characters (id) ON DELETE CASCADE
);

COMMENT ON COLUMN character_references.uploaded_at IS 'when it was in the bucket; null while it is kept in a folder alone';

COMMENT ON COLUMN character_references.upload_tried_at IS 'when somebody last set out to upload it';

CREATE TABLE threshold_versions (
    character_id UUID NOT NULL,
    version INTEGER NOT NULL,
    core FLOAT NOT NULL,
    style FLOAT NOT NULL,
    origin TEXT NOT NULL,
    aggregation TEXT DEFAULT 'max' NOT NULL,
    calibration JSONB,
    style_decides BOOLEAN DEFAULT 'true' NOT NULL,
    model TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT threshold_versions_pkey PRIMARY KEY (character_id, version),
    CONSTRAINT threshold_versions_cosines_check CHECK (core BETWEEN -1 AND 1 AND style BETWEEN -1 AND 1),
    CONSTRAINT threshold_versions_aggregation_check CHECK (aggregation IN ('max', 'mean')),
    CONSTRAINT threshold_versions_character_id_fkey FOREIGN KEY(character_id) REFERENCES characters (id) ON DELETE CASCADE
);

COMMENT ON COLUMN threshold_versions.origin IS '''default'' or ''calibrated (date, n, core AUC)''';

COMMENT ON COLUMN threshold_versions.aggregation IS 'over the references';

COMMENT ON COLUMN threshold_versions.calibration IS 'what was found where the thresholds were calibrated';

COMMENT ON COLUMN threshold_versions.style_decides IS 'else style is advice only';

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
    further_character_ids UUID[] DEFAULT '{}' NOT NULL,
    try_policy JSONB DEFAULT '{}'::jsonb NOT NULL,
    changes JSONB DEFAULT '{}'::jsonb NOT NULL,
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

COMMENT ON COLUMN generations.further_character_ids IS 'beside character_id';

COMMENT ON COLUMN generations.try_policy IS 'wins over its batch''s, key by key';

COMMENT ON COLUMN generations.changes IS 'what the next try asks for instead';

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
    price_usd NUMERIC(14, 6),
    hold_state TEXT DEFAULT 'held' NOT NULL,
    charged_usd NUMERIC(14, 6),
    token TEXT NOT NULL,
    changes JSONB DEFAULT '{}'::jsonb NOT NULL,
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
    stop_asked_at TIMESTAMP WITH TIME ZONE,
    percent INTEGER,
    result JSONB DEFAULT '{}'::jsonb NOT NULL,
    error_code TEXT,
    error_message TEXT,
    blame TEXT,
    illegal_prompt BOOLEAN DEFAULT false NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    intent_at TIMESTAMP WITH TIME ZONE,
    doubted_at TIMESTAMP WITH TIME ZONE,
    absent_since TIMESTAMP WITH TIME ZONE,
    unsettled_because TEXT,
    late_look_at TIMESTAMP WITH TIME ZONE,
    found_late_at TIMESTAMP WITH TIME ZONE,
    accepted_at TIMESTAMP WITH TIME ZONE,
    made_at TIMESTAMP WITH TIME ZONE,
    stored_at TIMESTAMP WITH TIME ZONE,
    finished_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT attempts_pkey PRIMARY KEY (id),
    CONSTRAINT attempts_generation_id_kind_number_key UNIQUE (generation_id, kind, number),
    CONSTRAINT attempts_lane_job_id_key UNIQUE (lane, job_id),
    CONSTRAINT attempts_kind_check CHECK (kind IN ('image', 'late')),
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

CREATE INDEX attempts_asked_idx ON attempts (lane, intent_at) WHERE job_id IS NOT NULL;

CREATE INDEX attempts_batch_id_idx ON attempts (batch_id) WHERE state <> 'finished';

CREATE INDEX attempts_due_idx ON attempts (lane, due_at) WHERE state = 'generating';

CREATE INDEX attempts_faults_idx ON attempts (lane, finished_at) WHERE error_code IN ('job_failed', 'job_timed_out');

CREATE INDEX attempts_illegal_prompts_idx ON attempts (lane, finished_at) WHERE illegal_prompt;

CREATE INDEX attempts_in_flight_idx ON attempts (lane, state) WHERE state IN ('admitted', 'generating', 'in_doubt', 'submitting');

CREATE INDEX attempts_judged_idx ON attempts (batch_id, finished_at) WHERE outcome IN ('completed', 'rejected');

CREATE INDEX attempts_late_look_idx ON attempts (lane, late_look_at) WHERE late_look_at IS NOT NULL;

CREATE INDEX attempts_live_idx ON attempts (state, published_at) WHERE state <> 'finished';

CREATE INDEX attempts_made_idx ON attempts (lane, made_at) WHERE made_at IS NOT NULL;

CREATE UNIQUE INDEX attempts_one_live_idx ON attempts (generation_id, kind) WHERE state <> 'finished' AND kind <> 'late';

COMMENT ON COLUMN attempts.number IS 'try of this generation and kind, from 1';

COMMENT ON COLUMN attempts.price_usd IS 'expected charge of this call; null where its generation''s holds';

COMMENT ON COLUMN attempts.token IS 'unguessable; travels where the wire carries it back';

COMMENT ON COLUMN attempts.changes IS 'what this try asked for instead';

COMMENT ON COLUMN attempts.sent_prompt IS 'the text as sent, flags included';

COMMENT ON COLUMN attempts.published_at IS 'when its task was last published; later than now: not before then';

COMMENT ON COLUMN attempts.step_tries IS 'tries of the present step';

COMMENT ON COLUMN attempts.deaths IS 'leases of the present step that ran out';

COMMENT ON COLUMN attempts.due_at IS 'next look at the provider';

COMMENT ON COLUMN attempts.deadline_at IS 'after this the job is overdue';

COMMENT ON COLUMN attempts.stop_asked_at IS 'when the provider took our wish to stop the job';

COMMENT ON COLUMN attempts.illegal_prompt IS 'a strike on the account';

COMMENT ON COLUMN attempts.intent_at IS 'written before the request leaves';

COMMENT ON COLUMN attempts.doubted_at IS 'when the reply was given up; the job may exist';

COMMENT ON COLUMN attempts.absent_since IS 'begin of the first complete listing that did not show the job';

COMMENT ON COLUMN attempts.unsettled_because IS 'why the last listing could not settle the doubt';

COMMENT ON COLUMN attempts.late_look_at IS 'settled as lost: when to look for its job again; null: never';

COMMENT ON COLUMN attempts.found_late_at IS 'when its job turned up although it had been settled as lost';

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
    text_alignment FLOAT,
    text_alignment_by JSONB,
    near_duplicate_of UUID,
    near_duplicate_score FLOAT,
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
    CONSTRAINT generation_assets_attempt_id_fkey FOREIGN KEY(attempt_id) REFERENCES attempts (id),
    CONSTRAINT generation_assets_near_duplicate_of_fkey FOREIGN KEY(near_duplicate_of) REFERENCES generation_assets (id) ON DELETE SET NULL
);

CREATE INDEX generation_assets_generation_id_idx ON generation_assets (generation_id);

CREATE INDEX generation_assets_waiting_idx ON generation_assets (upload_tried_at NULLS FIRST) WHERE uploaded_at IS NULL AND r2_key IS NOT NULL;

COMMENT ON COLUMN generation_assets.position IS 'the provider''s order, from 0';

COMMENT ON COLUMN generation_assets.text_alignment IS 'cosine of the picture with its prompt';

COMMENT ON COLUMN generation_assets.text_alignment_by IS 'model and revision that read it';

COMMENT ON COLUMN generation_assets.near_duplicate_score IS 'cosine of the two pictures';

COMMENT ON COLUMN generation_assets.missing_reason IS 'set where the picture could not be had';

COMMENT ON COLUMN generation_assets.uploaded_at IS 'when it, and its grid, were in the bucket; null while one is in a folder alone';

COMMENT ON COLUMN generation_assets.upload_tried_at IS 'when somebody last set out to upload it';

CREATE TABLE generation_history (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    generation_id UUID NOT NULL,
    attempt_id UUID,
    from_state TEXT NOT NULL,
    to_state TEXT NOT NULL,
    actor TEXT NOT NULL,
    reason TEXT NOT NULL,
    detail JSONB DEFAULT '{}'::jsonb NOT NULL,
    CONSTRAINT generation_history_pkey PRIMARY KEY (id),
    CONSTRAINT generation_history_generation_id_fkey FOREIGN KEY(generation_id) REFERENCES generations (id),
    CONSTRAINT generation_history_attempt_id_fkey FOREIGN KEY(attempt_id) REFERENCES attempts (id)
);

CREATE INDEX generation_history_generation_id_idx ON generation_history (generation_id);

COMMENT ON COLUMN generation_history.actor IS 'a person, or the rule that decided';

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

CREATE TABLE provider_events (
    lane TEXT NOT NULL,
    event_id TEXT NOT NULL,
    attempt_id UUID,
    job_id TEXT,
    received_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT provider_events_pkey PRIMARY KEY (lane, event_id),
    CONSTRAINT provider_events_lane_fkey FOREIGN KEY(lane) REFERENCES lanes (name),
    CONSTRAINT provider_events_attempt_id_fkey FOREIGN KEY(attempt_id) REFERENCES attempts (id)
);

CREATE INDEX provider_events_attempt_id_idx ON provider_events (attempt_id);

CREATE INDEX provider_events_received_at_idx ON provider_events (received_at);

COMMENT ON COLUMN provider_events.event_id IS 'the provider''s, or a digest of the body where it has none';

COMMENT ON COLUMN provider_events.job_id IS 'as the event names it, which proves nothing';

CREATE TABLE generation_feedback (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    generation_id UUID NOT NULL,
    asset_id UUID,
    user_id TEXT NOT NULL,
    feedback_type TEXT NOT NULL,
    rating INTEGER,
    comment TEXT,
    metadata JSONB DEFAULT '{}'::jsonb NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT generation_feedback_pkey PRIMARY KEY (id),
    CONSTRAINT generation_feedback_feedback_type_check CHECK (feedback_type IN ('accepted', 'comment', 'heart', 'outlier', 'rating', 'rejected')),
    CONSTRAINT generation_feedback_rating_check CHECK (rating BETWEEN 1 AND 5),
    CONSTRAINT generation_feedback_generation_id_fkey FOREIGN KEY(generation_id) REFERENCES generations (id),
    CONSTRAINT generation_feedback_asset_id_fkey FOREIGN KEY(asset_id) REFERENCES generation_assets (id)
);

CREATE INDEX generation_feedback_asset_id_idx ON generation_feedback (asset_id);

CREATE INDEX generation_feedback_generation_id_idx ON generation_feedback (generation_id);

CREATE TABLE verdicts (
    asset_id UUID NOT NULL,
    character_id UUID NOT NULL,
    core FLOAT NOT NULL,
    core_threshold FLOAT NOT NULL,
    core_passed BOOLEAN GENERATED ALWAYS AS (core >= core_threshold) STORED,
    style FLOAT NOT NULL,
    style_threshold FLOAT NOT NULL,
    style_passed BOOLEAN GENERATED ALWAYS AS (style >= style_threshold) STORED,
    style_decides BOOLEAN DEFAULT 'true' NOT NULL,
    passed BOOLEAN GENERATED ALWAYS AS (core >= core_threshold AND (style >= style_threshold OR NOT style_decides)) STORED,
    core_raw FLOAT,
    core_corrected FLOAT,
    style_raw FLOAT,
    style_corrected FLOAT,
    nearest INTEGER,
    threshold_version INTEGER NOT NULL,
    threshold_origin TEXT NOT NULL,
    origin JSONB NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT verdicts_pkey PRIMARY KEY (asset_id, character_id),
    CONSTRAINT verdicts_asset_id_fkey FOREIGN KEY(asset_id) REFERENCES generation_assets (id) ON DELETE CASCADE,
    CONSTRAINT verdicts_character_id_fkey FOREIGN KEY(character_id) REFERENCES characters (id)
);

COMMENT ON COLUMN verdicts.style_decides IS 'else style is advice only';

COMMENT ON COLUMN verdicts.nearest IS 'position of the reference with the highest core_raw';

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
