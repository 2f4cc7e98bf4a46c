ALTER TABLE batches ADD COLUMN team TEXT DEFAULT 'local' NOT NULL;

ALTER TABLE batches ADD COLUMN key_id UUID;

ALTER TABLE batches DROP CONSTRAINT batches_user_id_name_key;

ALTER TABLE batches ADD CONSTRAINT batches_team_user_id_name_key UNIQUE (team, user_id, name);

COMMENT ON COLUMN batches.team IS 'whose keys see it';

COMMENT ON COLUMN batches.key_id IS 'the API key that made it; null: the command line or a script';

CREATE INDEX batches_team_id_idx ON batches (team, id);

CREATE INDEX batches_key_id_idx ON batches (key_id) WHERE key_id IS NOT NULL;

CREATE INDEX generations_user_id_id_idx ON generations (user_id, id);

ALTER TABLE characters ADD COLUMN team TEXT DEFAULT 'local' NOT NULL;

ALTER TABLE characters DROP CONSTRAINT characters_name_key;

ALTER TABLE characters ADD CONSTRAINT characters_team_name_key UNIQUE (team, name);

COMMENT ON COLUMN characters.team IS 'whose keys see it';

CREATE TABLE api_keys (
    id UUID NOT NULL,
    prefix TEXT NOT NULL,
    digest BYTEA NOT NULL,
    name TEXT NOT NULL,
    team TEXT NOT NULL,
    user_id TEXT NOT NULL,
    scope TEXT NOT NULL,
    rate_limit TEXT,
    limit_usd NUMERIC(14, 6),
    next_at TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    last_used_at TIMESTAMP WITH TIME ZONE,
    revoked_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT api_keys_pkey PRIMARY KEY (id),
    CONSTRAINT api_keys_scope_check CHECK (scope IN ('admin', 'approve', 'generate', 'read')),
    CONSTRAINT api_keys_digest_check CHECK (octet_length(digest) = 32),
    CONSTRAINT api_keys_limit_check CHECK (limit_usd > 0),
    CONSTRAINT api_keys_prefix_key UNIQUE (prefix),
    CONSTRAINT api_keys_name_key UNIQUE (name)
);

CREATE INDEX api_keys_team_idx ON api_keys (team);

COMMENT ON COLUMN api_keys.prefix IS 'shown; by it the key is found';

COMMENT ON COLUMN api_keys.digest IS 'SHA-256 of the whole key, which is nowhere';

COMMENT ON COLUMN api_keys.user_id IS 'owner of what is made where a request names no user';

COMMENT ON COLUMN api_keys.rate_limit IS 'requests in Celery''s notation, as 600/m; null: none';

COMMENT ON COLUMN api_keys.limit_usd IS 'what its batches of a calendar month (UTC) may spend; null: no limit';

COMMENT ON COLUMN api_keys.next_at IS 'theoretical arrival of the next request by the rate limit (GCRA)';

CREATE TABLE api_sessions (
    digest BYTEA NOT NULL,
    key_id UUID NOT NULL,
    form_token TEXT NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT api_sessions_pkey PRIMARY KEY (digest),
    CONSTRAINT api_sessions_key_id_fkey FOREIGN KEY(key_id) REFERENCES api_keys (id) ON DELETE CASCADE
);

CREATE INDEX api_sessions_expires_at_idx ON api_sessions (expires_at);

CREATE INDEX api_sessions_key_id_idx ON api_sessions (key_id);

COMMENT ON COLUMN api_sessions.digest IS 'SHA-256 of the cookie';

COMMENT ON COLUMN api_sessions.form_token IS 'must come with every form of the page';

CREATE TABLE kept_answers (
    key_id UUID NOT NULL,
    idempotency_key TEXT NOT NULL,
    request BYTEA NOT NULL,
    answer JSONB,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT kept_answers_pkey PRIMARY KEY (key_id, idempotency_key),
    CONSTRAINT kept_answers_key_id_fkey FOREIGN KEY(key_id) REFERENCES api_keys (id) ON DELETE CASCADE
);

CREATE INDEX kept_answers_created_at_idx ON kept_answers (created_at);

COMMENT ON COLUMN kept_answers.request IS 'digest of path and body';

COMMENT ON COLUMN kept_answers.answer IS 'null: the request has not come to its end';

CREATE TABLE deletions (
    generation_id UUID NOT NULL,
    asked_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    asked_by TEXT NOT NULL,
    removed INTEGER DEFAULT '0' NOT NULL,
    done_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT deletions_pkey PRIMARY KEY (generation_id),
    CONSTRAINT deletions_generation_id_fkey FOREIGN KEY(generation_id) REFERENCES generations (id)
);

CREATE INDEX deletions_open_idx ON deletions (asked_at) WHERE done_at IS NULL;

COMMENT ON COLUMN deletions.removed IS 'pictures';

COMMENT ON COLUMN deletions.done_at IS 'when nothing of it lived any more and its pictures were gone';

CREATE TABLE acts (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    team TEXT NOT NULL,
    batch_id UUID,
    actor TEXT NOT NULL,
    act TEXT NOT NULL,
    detail JSONB DEFAULT '{}'::jsonb NOT NULL,
    CONSTRAINT acts_pkey PRIMARY KEY (id),
    CONSTRAINT acts_batch_id_fkey FOREIGN KEY(batch_id) REFERENCES batches (id)
);

CREATE INDEX acts_batch_id_idx ON acts (batch_id);

COMMENT ON COLUMN acts.actor IS 'name of the key, and the user that the request named';

CREATE TABLE event_demand (
    one INTEGER NOT NULL,
    until TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT event_demand_pkey PRIMARY KEY (one),
    CONSTRAINT event_demand_one_check CHECK (one = 1)
);

COMMENT ON COLUMN event_demand.until IS 'triggers write events until then; the api role prolongs it';

CREATE TABLE event_outbox (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    team TEXT NOT NULL,
    batch_id UUID NOT NULL,
    type TEXT NOT NULL,
    data JSONB NOT NULL,
    CONSTRAINT event_outbox_pkey PRIMARY KEY (id)
);

CREATE TABLE events (
    team TEXT NOT NULL,
    number BIGINT NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    batch_id UUID NOT NULL,
    type TEXT NOT NULL,
    data JSONB NOT NULL,
    CONSTRAINT events_pkey PRIMARY KEY (team, number)
);

CREATE INDEX events_at_idx ON events (at);

CREATE INDEX events_batch_id_number_idx ON events (batch_id, number);

COMMENT ON COLUMN events.number IS '1, 2, 3, ... within the team, without a gap';

CREATE TABLE event_counters (
    team TEXT NOT NULL,
    last BIGINT NOT NULL,
    CONSTRAINT event_counters_pkey PRIMARY KEY (team)
);

COMMENT ON COLUMN event_counters.last IS 'number of the team''s newest event';

CREATE TABLE batch_webhooks (
    batch_id UUID NOT NULL,
    team TEXT NOT NULL,
    url TEXT NOT NULL,
    secret TEXT NOT NULL,
    delivered BIGINT DEFAULT '0' NOT NULL,
    tries INTEGER DEFAULT '0' NOT NULL,
    failing_since TIMESTAMP WITH TIME ZONE,
    due_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    last_error TEXT,
    given_up_at TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT batch_webhooks_pkey PRIMARY KEY (batch_id),
    CONSTRAINT batch_webhooks_batch_id_fkey FOREIGN KEY(batch_id) REFERENCES batches (id)
);

CREATE INDEX batch_webhooks_due_idx ON batch_webhooks (due_at) WHERE given_up_at IS NULL;

COMMENT ON COLUMN batch_webhooks.secret IS 'signs each message; Standard Webhooks';

COMMENT ON COLUMN batch_webhooks.delivered IS 'number of the last event taken';

COMMENT ON COLUMN batch_webhooks.tries IS 'of the next event';

COMMENT ON COLUMN batch_webhooks.given_up_at IS 'after a day of failures; a replay takes it up again';

-- Events are written by the rows themselves, so that no writer of a state can forget one; only while somebody reads
-- them, so that an installation without the API gathers none. `event_outbox` is in no order that a reader could go by:
-- `db.records.events` moves its rows to `events` and gives them their numbers.
CREATE FUNCTION events_wanted() RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM event_demand WHERE until > now())
$$;

CREATE FUNCTION note_generation_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF events_wanted() THEN
        INSERT INTO event_outbox (team, batch_id, type, data)
        SELECT b.team, NEW.batch_id, 'generation.' || NEW.state, jsonb_build_object(
            'generationId', NEW.id, 'batchId', NEW.batch_id, 'position', NEW.position, 'status', NEW.status,
            'state', NEW.state, 'costUsd', trim_scale(NEW.cost)::text, 'errorCode', NEW.error_code)
        FROM batches b WHERE b.id = NEW.batch_id;
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER generations_events AFTER UPDATE OF state ON generations
    FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION note_generation_event();

CREATE FUNCTION note_batch_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF events_wanted() THEN
        INSERT INTO event_outbox (team, batch_id, type, data)
        VALUES (NEW.team, NEW.id, CASE WHEN TG_OP = 'INSERT' THEN 'batch.created' ELSE 'batch.changed' END,
            jsonb_build_object('batchId', NEW.id, 'name', NEW.name, 'limitUsd', trim_scale(NEW.limit_usd)::text,
                'paused', NEW.paused_reason, 'stopped', NEW.stopped_reason));
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER batches_created AFTER INSERT ON batches FOR EACH ROW EXECUTE FUNCTION note_batch_event();

CREATE TRIGGER batches_changed AFTER UPDATE OF limit_usd, paused_reason, stopped_reason ON batches
    FOR EACH ROW WHEN (
        (OLD.limit_usd, OLD.paused_reason, OLD.stopped_reason)
        IS DISTINCT FROM (NEW.limit_usd, NEW.paused_reason, NEW.stopped_reason))
    EXECUTE FUNCTION note_batch_event();
