-- Buckets from which images are imported.
CREATE TABLE import_sources (
    pk INTEGER PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES accounts,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    bucket TEXT NOT NULL,
    endpoint TEXT,
    region TEXT NOT NULL,
    path_style INTEGER NOT NULL,
    access_key_id TEXT NOT NULL,
    -- Sealed with the server's secret key, bound to the account and the id.
    secret_access_key BLOB NOT NULL,
    created INTEGER NOT NULL,
    UNIQUE (account, id)
) STRICT;

CREATE TABLE import_jobs (
    pk INTEGER PRIMARY KEY,
    source INTEGER NOT NULL REFERENCES import_sources ON DELETE CASCADE,
    id TEXT NOT NULL UNIQUE,
    root TEXT NOT NULL,
    prefix TEXT NOT NULL,
    overwrite INTEGER NOT NULL,
    state TEXT NOT NULL,
    found INTEGER NOT NULL DEFAULT 0,
    imported INTEGER NOT NULL DEFAULT 0,
    skipped INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,
    error TEXT,
    created INTEGER NOT NULL,
    started INTEGER,
    finished INTEGER,
    -- The key of the last object which was looked at.
    after_key TEXT NOT NULL DEFAULT '',
    -- Who is at it, until when nobody else is, and how often that began without getting on.
    holder BLOB,
    lapses INTEGER NOT NULL DEFAULT 0,
    claims INTEGER NOT NULL DEFAULT 0,
    -- When it last had its turn, or was made.
    turn INTEGER NOT NULL
) STRICT;

CREATE INDEX import_jobs_source ON import_jobs (source, created);
CREATE INDEX import_jobs_open ON import_jobs (lapses) WHERE state IN ('pending', 'running');

-- Objects as they were when they became images, and what these were then.
CREATE TABLE import_objects (
    source INTEGER NOT NULL REFERENCES import_sources ON DELETE CASCADE,
    image TEXT NOT NULL,
    etag TEXT,
    bytes INTEGER NOT NULL,
    modified INTEGER NOT NULL,
    blob BLOB NOT NULL,
    PRIMARY KEY (source, image)
) STRICT, WITHOUT ROWID;

CREATE TABLE import_log (
    job INTEGER NOT NULL REFERENCES import_jobs ON DELETE CASCADE,
    number INTEGER NOT NULL,
    key TEXT NOT NULL,
    outcome TEXT NOT NULL,
    reason TEXT,
    PRIMARY KEY (job, number)
) STRICT, WITHOUT ROWID;
