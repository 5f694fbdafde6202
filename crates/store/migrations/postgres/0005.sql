-- Buckets from which images are imported.
CREATE TABLE import_sources (
    pk BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account BIGINT NOT NULL REFERENCES accounts,
    id TEXT COLLATE "C" NOT NULL,
    name TEXT NOT NULL,
    bucket TEXT NOT NULL,
    endpoint TEXT,
    region TEXT NOT NULL,
    path_style BOOLEAN NOT NULL,
    access_key_id TEXT NOT NULL,
    -- Sealed with the servers' secret key, bound to the account and the id.
    secret_access_key BYTEA NOT NULL,
    created BIGINT NOT NULL,
    UNIQUE (account, id)
);

CREATE TABLE import_jobs (
    pk BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source BIGINT NOT NULL REFERENCES import_sources ON DELETE CASCADE,
    id TEXT COLLATE "C" NOT NULL UNIQUE,
    root TEXT NOT NULL,
    prefix TEXT NOT NULL,
    overwrite BOOLEAN NOT NULL,
    state TEXT NOT NULL,
    found BIGINT NOT NULL DEFAULT 0,
    imported BIGINT NOT NULL DEFAULT 0,
    skipped BIGINT NOT NULL DEFAULT 0,
    failed BIGINT NOT NULL DEFAULT 0,
    error TEXT,
    created BIGINT NOT NULL,
    started BIGINT,
    finished BIGINT,
    -- The key of the last object which was looked at.
    after_key TEXT NOT NULL DEFAULT '',
    -- Who is at it, until when nobody else is, by the clock of the database, and how often that began
    -- without getting on.
    holder BYTEA,
    lapses TIMESTAMPTZ NOT NULL DEFAULT '-infinity',
    claims BIGINT NOT NULL DEFAULT 0,
    -- When it last had its turn, or was made.
    turn TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
);

CREATE INDEX import_jobs_source ON import_jobs (source, created);
CREATE INDEX import_jobs_open ON import_jobs (lapses) WHERE state IN ('pending', 'running');

-- Objects as they were when they became images, and what these were then.
CREATE TABLE import_objects (
    source BIGINT NOT NULL REFERENCES import_sources ON DELETE CASCADE,
    -- As in `images`.
    image_hash BYTEA NOT NULL,
    etag TEXT,
    bytes BIGINT NOT NULL,
    modified BIGINT NOT NULL,
    blob BYTEA NOT NULL,
    PRIMARY KEY (source, image_hash)
);

CREATE TABLE import_log (
    job BIGINT NOT NULL REFERENCES import_jobs ON DELETE CASCADE,
    number BIGINT NOT NULL,
    key TEXT NOT NULL,
    outcome TEXT NOT NULL,
    reason TEXT,
    PRIMARY KEY (job, number)
);
