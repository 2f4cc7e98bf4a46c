CREATE TABLE finishings (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    generation_id UUID NOT NULL,
    batch_id UUID NOT NULL,
    wanted TEXT NOT NULL,
    steps TEXT[] NOT NULL,
    model TEXT,
    original_id UUID,
    asset_id UUID,
    attempt_id UUID,
    tries INTEGER DEFAULT 0 NOT NULL,
    not_before TIMESTAMP WITH TIME ZONE,
    outcome TEXT,
    said TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    finished_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT finishings_pkey PRIMARY KEY (id),
    CONSTRAINT finishings_outcome_check CHECK (outcome IN ('canceled', 'failed', 'finished', 'over_budget', 'rejected')),
    CONSTRAINT finishings_finish_time_check CHECK ((outcome IS NULL) = (finished_at IS NULL)),
    CONSTRAINT finishings_nobody_at_it_check CHECK (outcome IS NULL OR attempt_id IS NULL),
    CONSTRAINT finishings_generation_id_fkey FOREIGN KEY (generation_id) REFERENCES generations (id),
    CONSTRAINT finishings_batch_id_fkey FOREIGN KEY (batch_id) REFERENCES batches (id),
    CONSTRAINT finishings_original_id_fkey FOREIGN KEY (original_id) REFERENCES generation_assets (id),
    CONSTRAINT finishings_asset_id_fkey FOREIGN KEY (asset_id) REFERENCES generation_assets (id),
    CONSTRAINT finishings_attempt_id_fkey FOREIGN KEY (attempt_id) REFERENCES attempts (id)
);

COMMENT ON COLUMN finishings.wanted IS 'the whole wish: upscale, background, or both';

COMMENT ON COLUMN finishings.steps IS 'what is left of it, in order';

COMMENT ON COLUMN finishings.model IS 'a person named it; null: the product chooses';

COMMENT ON COLUMN finishings.original_id IS 'the picture that is finished, and stays';

COMMENT ON COLUMN finishings.asset_id IS 'what it has come to';

COMMENT ON COLUMN finishings.attempt_id IS 'at work; null: it waits for a place and for money';

COMMENT ON COLUMN finishings.tries IS 'of the present step that failed';

COMMENT ON COLUMN finishings.said IS 'why, for people';

CREATE INDEX finishings_generation_id_idx ON finishings (generation_id);

CREATE UNIQUE INDEX finishings_one_open_idx ON finishings (generation_id) WHERE outcome IS NULL;

CREATE INDEX finishings_open_idx ON finishings (batch_id, id) WHERE outcome IS NULL;

CREATE INDEX finishings_attempt_id_idx ON finishings (attempt_id) WHERE attempt_id IS NOT NULL;

ALTER TABLE attempts DROP CONSTRAINT attempts_kind_check;

ALTER TABLE attempts ADD CONSTRAINT attempts_kind_check
    CHECK (kind IN ('finish', 'image', 'late', 'text', 'vision')) NOT VALID;

ALTER TABLE attempts VALIDATE CONSTRAINT attempts_kind_check;

-- Whichever move accepts a picture, in a group or alone, its wish waits from the same commit on, and once.
CREATE FUNCTION note_wish_to_finish() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO finishings (generation_id, batch_id, wanted, steps)
    SELECT NEW.id, NEW.batch_id, NEW.settings ->> 'finish', string_to_array(NEW.settings ->> 'finish', ' ')
    WHERE NOT EXISTS (SELECT FROM finishings WHERE generation_id = NEW.id);
    RETURN NULL;
END
$$;

CREATE TRIGGER generations_finish AFTER UPDATE OF state ON generations
    FOR EACH ROW WHEN (NEW.state = 'completed' AND OLD.state <> 'completed' AND NEW.settings ->> 'finish' IS NOT NULL)
    EXECUTE FUNCTION note_wish_to_finish();
