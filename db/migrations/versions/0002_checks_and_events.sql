ALTER TABLE batches
    ADD COLUMN try_policy JSONB DEFAULT '{}'::jsonb NOT NULL,
    ADD COLUMN limit_set_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL;

COMMENT ON COLUMN batches.limit_set_at IS 'or confirmed by a resume';

COMMENT ON COLUMN batches.try_policy IS 'further tries after a rejection';

ALTER TABLE spending_limits
    ADD COLUMN set_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL;

ALTER TABLE ticks
    ADD COLUMN said JSONB;

COMMENT ON COLUMN ticks.said IS 'by a look that finds something: a list of sentences';

ALTER TABLE generations
    ADD COLUMN further_character_ids UUID[] DEFAULT '{}' NOT NULL,
    ADD COLUMN try_policy JSONB DEFAULT '{}'::jsonb NOT NULL,
    ADD COLUMN changes JSONB DEFAULT '{}'::jsonb NOT NULL;

COMMENT ON COLUMN generations.further_character_ids IS 'beside character_id';

COMMENT ON COLUMN generations.try_policy IS 'wins over its batch''s, key by key';

COMMENT ON COLUMN generations.changes IS 'what the next try asks for instead';

ALTER TABLE attempts
    ADD COLUMN price_usd NUMERIC(14, 6),
    ADD COLUMN changes JSONB DEFAULT '{}'::jsonb NOT NULL,
    ADD COLUMN unsettled_because TEXT,
    ADD COLUMN late_look_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN found_late_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN illegal_prompt BOOLEAN DEFAULT false NOT NULL,
    ADD COLUMN stop_asked_at TIMESTAMP WITH TIME ZONE,
    ADD CONSTRAINT attempts_kind_check CHECK (kind IN ('image', 'late'));

COMMENT ON COLUMN attempts.price_usd IS 'expected charge of this call; null where its generation''s holds';

COMMENT ON COLUMN attempts.changes IS 'what this try asked for instead';

COMMENT ON COLUMN attempts.stop_asked_at IS 'when the provider took our wish to stop the job';

COMMENT ON COLUMN attempts.unsettled_because IS 'why the last listing could not settle the doubt';

COMMENT ON COLUMN attempts.late_look_at IS 'settled as lost: when to look for its job again; null: never';

COMMENT ON COLUMN attempts.found_late_at IS 'when its job turned up although it had been settled as lost';

COMMENT ON COLUMN attempts.illegal_prompt IS 'a strike on the account';

DROP INDEX attempts_one_live_idx;

CREATE UNIQUE INDEX attempts_one_live_idx ON attempts (generation_id, kind) WHERE state <> 'finished' AND kind <> 'late';

CREATE INDEX attempts_illegal_prompts_idx ON attempts (lane, finished_at) WHERE illegal_prompt;

CREATE INDEX attempts_faults_idx ON attempts (lane, finished_at) WHERE error_code IN ('job_failed', 'job_timed_out');

CREATE INDEX attempts_made_idx ON attempts (lane, made_at) WHERE made_at IS NOT NULL;

CREATE INDEX attempts_asked_idx ON attempts (lane, intent_at) WHERE job_id IS NOT NULL;

CREATE INDEX attempts_late_look_idx ON attempts (lane, late_look_at) WHERE late_look_at IS NOT NULL;

CREATE INDEX attempts_judged_idx ON attempts (batch_id, finished_at) WHERE outcome IN ('completed', 'rejected');

ALTER TABLE generation_assets
    ADD COLUMN text_alignment FLOAT,
    ADD COLUMN text_alignment_by JSONB,
    ADD COLUMN near_duplicate_of UUID,
    ADD COLUMN near_duplicate_score FLOAT,
    ADD CONSTRAINT generation_assets_near_duplicate_of_fkey
        FOREIGN KEY(near_duplicate_of) REFERENCES generation_assets (id) ON DELETE SET NULL;

COMMENT ON COLUMN generation_assets.uploaded_at IS
    'when it, and its grid, were in the bucket; null while one is in a folder alone';

COMMENT ON COLUMN generation_assets.text_alignment IS 'cosine of the picture with its prompt';

COMMENT ON COLUMN generation_assets.text_alignment_by IS 'model and revision that read it';

COMMENT ON COLUMN generation_assets.near_duplicate_score IS 'cosine of the two pictures';

-- An address of our own is made of the bucket's and the key where it is used.
ALTER TABLE character_references
    DROP COLUMN source_url,
    ADD COLUMN uploaded_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN upload_tried_at TIMESTAMP WITH TIME ZONE;

COMMENT ON COLUMN character_references.uploaded_at IS 'when it was in the bucket; null while it is kept in a folder alone';

COMMENT ON COLUMN character_references.upload_tried_at IS 'when somebody last set out to upload it';

ALTER TABLE lanes
    ADD COLUMN concurrency_origin TEXT DEFAULT 'setting' NOT NULL,
    ADD COLUMN person_concurrency INTEGER,
    ADD COLUMN account_asked_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN account_balance_usd NUMERIC(14, 6),
    ADD COLUMN account_held_usd NUMERIC(14, 6),
    ADD COLUMN account_jobs INTEGER,
    DROP CONSTRAINT lanes_concurrency_check,
    ADD CONSTRAINT lanes_concurrency_check CHECK (concurrency > 0 AND person_concurrency > 0),
    ADD CONSTRAINT lanes_concurrency_origin_check CHECK (concurrency_origin IN ('account', 'person', 'setting'));

COMMENT ON COLUMN lanes.person_concurrency IS 'what a person allows; null: nobody has said';

COMMENT ON COLUMN lanes.account_asked_at IS 'when the provider was last asked about the account';

COMMENT ON COLUMN lanes.account_balance_usd IS 'money left by the provider''s word; null: not said';

COMMENT ON COLUMN lanes.account_held_usd IS 'set aside for running jobs by the provider''s word';

COMMENT ON COLUMN lanes.account_jobs IS 'jobs in flight that the provider allows';

ALTER TABLE threshold_versions
    ADD COLUMN aggregation TEXT DEFAULT 'max' NOT NULL,
    ADD COLUMN calibration JSONB,
    ADD COLUMN style_decides BOOLEAN DEFAULT true NOT NULL,
    ADD CONSTRAINT threshold_versions_aggregation_check CHECK (aggregation IN ('max', 'mean'));

COMMENT ON COLUMN threshold_versions.aggregation IS 'over the references';

COMMENT ON COLUMN threshold_versions.style_decides IS 'else style is advice only';

COMMENT ON COLUMN threshold_versions.origin IS '''default'' or ''calibrated (date, n, core AUC)''';

COMMENT ON COLUMN threshold_versions.calibration IS 'what was found where the thresholds were calibrated';

ALTER TABLE verdicts
    ADD COLUMN core_raw FLOAT,
    ADD COLUMN core_corrected FLOAT,
    ADD COLUMN style_raw FLOAT,
    ADD COLUMN style_corrected FLOAT,
    ADD COLUMN nearest INTEGER,
    ADD COLUMN style_decides BOOLEAN DEFAULT true NOT NULL;

-- Its expression cannot be changed in place.
ALTER TABLE verdicts DROP COLUMN passed;

ALTER TABLE verdicts
    ADD COLUMN passed BOOLEAN
    GENERATED ALWAYS AS (core >= core_threshold AND (style >= style_threshold OR NOT style_decides)) STORED;

COMMENT ON COLUMN verdicts.style_decides IS 'else style is advice only';

COMMENT ON COLUMN verdicts.nearest IS 'position of the reference with the highest core_raw';

-- Never written before this revision.
TRUNCATE embeddings;

ALTER TABLE embeddings ADD COLUMN style BYTEA NOT NULL;

COMMENT ON COLUMN embeddings.vector IS 'the core embedding: float32, little endian';

COMMENT ON COLUMN embeddings.style IS 'channel statistics: float32, little endian';

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
    CONSTRAINT generation_feedback_generation_id_fkey FOREIGN KEY(generation_id) REFERENCES generations (id),
    CONSTRAINT generation_feedback_asset_id_fkey FOREIGN KEY(asset_id) REFERENCES generation_assets (id),
    CONSTRAINT generation_feedback_feedback_type_check
        CHECK (feedback_type IN ('accepted', 'comment', 'heart', 'outlier', 'rating', 'rejected')),
    CONSTRAINT generation_feedback_rating_check CHECK (rating BETWEEN 1 AND 5)
);

CREATE INDEX generation_feedback_generation_id_idx ON generation_feedback (generation_id);

CREATE INDEX generation_feedback_asset_id_idx ON generation_feedback (asset_id);
