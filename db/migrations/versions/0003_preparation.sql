ALTER TABLE attempts DROP CONSTRAINT attempts_kind_check;

ALTER TABLE attempts ADD CONSTRAINT attempts_kind_check CHECK (kind IN ('image', 'late', 'text', 'vision'));

CREATE TABLE preparations (
    generation_id UUID NOT NULL,
    place TEXT DEFAULT 'any' NOT NULL,
    published_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    tries INTEGER DEFAULT '0' NOT NULL,
    deaths INTEGER DEFAULT '0' NOT NULL,
    lease_token UUID,
    lease_until TIMESTAMP WITH TIME ZONE,
    leased_by TEXT,
    CONSTRAINT preparations_pkey PRIMARY KEY (generation_id),
    CONSTRAINT preparations_place_check CHECK (place IN ('any', 'gpu', 'io')),
    CONSTRAINT preparations_lease_check CHECK ((lease_token IS NULL) = (lease_until IS NULL)),
    CONSTRAINT preparations_generation_id_fkey FOREIGN KEY (generation_id) REFERENCES generations (id)
);

COMMENT ON COLUMN preparations.place IS 'what the next stage needs';

COMMENT ON COLUMN preparations.published_at IS 'later than now: not before then';

COMMENT ON COLUMN preparations.tries IS 'of the present stage';

COMMENT ON COLUMN preparations.deaths IS 'leases of the present stage that ran out';

CREATE INDEX preparations_published_at_idx ON preparations (published_at);

CREATE INDEX generations_preparing_idx ON generations (position, id) WHERE state = 'preparing';
