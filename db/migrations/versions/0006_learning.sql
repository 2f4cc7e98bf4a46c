CREATE TABLE routing_decisions (
    generation_id UUID NOT NULL,
    number INTEGER NOT NULL,
    at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    context TEXT NOT NULL,
    candidates JSONB NOT NULL,
    excluded JSONB DEFAULT '{}'::jsonb NOT NULL,
    model TEXT NOT NULL,
    provider TEXT NOT NULL,
    propensity DOUBLE PRECISION NOT NULL,
    version TEXT NOT NULL,
    CONSTRAINT routing_decisions_pkey PRIMARY KEY (generation_id, number),
    CONSTRAINT routing_decisions_propensity_check CHECK (propensity > 0 AND propensity <= 1),
    CONSTRAINT routing_decisions_generation_id_fkey FOREIGN KEY (generation_id) REFERENCES generations (id)
);

COMMENT ON COLUMN routing_decisions.number IS 'of the try that it is about, from 1';

COMMENT ON COLUMN routing_decisions.candidates IS 'model, provider, usd, pass_rate, usd_per_accepted, propensity';

COMMENT ON COLUMN routing_decisions.excluded IS 'models that cannot serve, and why';

COMMENT ON COLUMN routing_decisions.model IS 'the one that was chosen';

COMMENT ON COLUMN routing_decisions.propensity IS 'probability with which it was chosen';

COMMENT ON COLUMN routing_decisions.version IS 'of the policy';

CREATE INDEX routing_decisions_at_idx ON routing_decisions (at);

CREATE TABLE preference_pairs (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    user_id TEXT NOT NULL,
    preferred_id UUID NOT NULL,
    other_id UUID NOT NULL,
    CONSTRAINT preference_pairs_pkey PRIMARY KEY (id),
    CONSTRAINT preference_pairs_two_pictures_check CHECK (preferred_id <> other_id),
    CONSTRAINT preference_pairs_preferred_id_fkey FOREIGN KEY (preferred_id) REFERENCES generation_assets (id),
    CONSTRAINT preference_pairs_other_id_fkey FOREIGN KEY (other_id) REFERENCES generation_assets (id)
);

CREATE INDEX preference_pairs_preferred_id_idx ON preference_pairs (preferred_id);

CREATE INDEX preference_pairs_other_id_idx ON preference_pairs (other_id);

CREATE TABLE preference_heads (
    digest TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    version TEXT NOT NULL,
    standing TEXT NOT NULL,
    pairs INTEGER NOT NULL,
    accuracy DOUBLE PRECISION,
    low DOUBLE PRECISION,
    high DOUBLE PRECISION,
    penalty DOUBLE PRECISION,
    bins JSONB NOT NULL,
    weights BYTEA NOT NULL,
    offsets JSONB NOT NULL,
    trained_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT preference_heads_pkey PRIMARY KEY (digest, fingerprint)
);

COMMENT ON COLUMN preference_heads.digest IS 'of the choices and the parameters';

COMMENT ON COLUMN preference_heads.fingerprint IS 'of the model whose embeddings it reads';

COMMENT ON COLUMN preference_heads.accuracy IS 'of held-out choices';

COMMENT ON COLUMN preference_heads.bins IS 'reliability of its confidence on held-out choices';

COMMENT ON COLUMN preference_heads.weights IS 'float64, little endian';

COMMENT ON COLUMN preference_heads.offsets IS 'by user: base64 of the same';

CREATE INDEX preference_heads_latest_idx ON preference_heads (fingerprint, trained_at DESC);

CREATE TABLE personas (
    id UUID NOT NULL,
    team TEXT DEFAULT 'local' NOT NULL,
    name TEXT NOT NULL,
    document JSONB NOT NULL,
    digest TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT personas_pkey PRIMARY KEY (id),
    CONSTRAINT personas_team_name_key UNIQUE (team, name)
);

COMMENT ON COLUMN personas.team IS 'whose keys see it';

COMMENT ON COLUMN personas.document IS 'as a file holds it';

COMMENT ON COLUMN personas.digest IS 'of what is learned, without the name';

-- Results by time, from which routing learns.
CREATE INDEX attempts_results_idx ON attempts (finished_at) WHERE kind = 'image' AND outcome IN ('completed', 'rejected', 'failed');

-- What is left to routing is found by its batch, and everything else by its position.
DROP INDEX generations_preparing_idx;

CREATE INDEX generations_preparing_idx ON generations (position, id)
    WHERE state = 'preparing' AND (pipeline_data #> '{prepare,routing}') IS NULL;

CREATE INDEX generations_preparing_routed_idx ON generations (batch_id, position, id)
    WHERE state = 'preparing' AND (pipeline_data #> '{prepare,routing}') IS NOT NULL;
