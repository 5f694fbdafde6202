-- Moments are microseconds since 1970 in UTC. Texts compare byte by byte (BINARY, the default).

CREATE TABLE accounts (
    pk INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    hash TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    created INTEGER NOT NULL,
    flexible_variants INTEGER NOT NULL,
    browser_ttl INTEGER NOT NULL,
    preserve_content_credentials INTEGER NOT NULL,
    -- How many images there are, without drafts; kept by every transaction which changes it.
    images INTEGER NOT NULL DEFAULT 0,
    -- No image of the account was ever uploaded later than this.
    last_uploaded INTEGER NOT NULL DEFAULT 0,
    -- A deleted account gives up its id and hash at once and stays until its images are gone.
    deleted INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX accounts_deleted ON accounts (pk) WHERE deleted = 1;

CREATE TABLE tokens (
    pk INTEGER PRIMARY KEY,
    -- SHA-256 of the token, which itself is never stored.
    hash BLOB NOT NULL UNIQUE,
    account INTEGER NOT NULL REFERENCES accounts,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    permission TEXT NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER,
    not_before INTEGER,
    UNIQUE (account, id)
) STRICT;

CREATE TABLE signing_keys (
    pk INTEGER PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES accounts,
    name TEXT NOT NULL,
    -- Sealed with the server's secret key, bound to the account and the name.
    value BLOB NOT NULL,
    UNIQUE (account, name)
) STRICT;

CREATE TABLE variants (
    pk INTEGER PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES accounts,
    name TEXT NOT NULL,
    -- The JSON of the API.
    options TEXT NOT NULL,
    never_require_signed_urls INTEGER NOT NULL,
    UNIQUE (account, name)
) STRICT;

-- A row without blob is a draft: it waits for its bytes.
CREATE TABLE images (
    pk INTEGER PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES accounts,
    id TEXT NOT NULL,
    uploaded INTEGER NOT NULL,
    require_signed_urls INTEGER NOT NULL,
    draft_expires INTEGER,
    blob BLOB,
    bytes INTEGER,
    sha256 BLOB,
    format TEXT,
    width INTEGER,
    height INTEGER,
    filename TEXT,
    creator TEXT,
    metadata TEXT
) STRICT;

CREATE UNIQUE INDEX images_id ON images (account, id);
CREATE UNIQUE INDEX images_blob ON images (blob) WHERE blob IS NOT NULL;
-- No two images of an account share a microsecond, so a list needs no second key.
CREATE UNIQUE INDEX images_uploaded ON images (account, uploaded) WHERE blob IS NOT NULL;
CREATE INDEX images_creator ON images (account, creator, uploaded) WHERE blob IS NOT NULL;
CREATE INDEX images_draft ON images (draft_expires) WHERE blob IS NULL;

-- Images of each creator, without drafts; the empty text stands for images without a creator.
CREATE TABLE creators (
    account INTEGER NOT NULL,
    creator TEXT NOT NULL,
    images INTEGER NOT NULL,
    PRIMARY KEY (account, creator)
) STRICT, WITHOUT ROWID;

-- The scalars in the metadata of images, to find candidates for a filter. Long values are cut, and
-- keys with dots look like paths: who reads this checks the image itself.
CREATE TABLE leaves (
    account INTEGER NOT NULL,
    path TEXT NOT NULL,
    -- TEXT of a string, REAL of a number, BLOB of a boolean.
    value ANY NOT NULL,
    uploaded INTEGER NOT NULL,
    image INTEGER NOT NULL,
    PRIMARY KEY (account, path, value, uploaded)
) STRICT, WITHOUT ROWID;

-- Blobs without a record: reserved ones (released = 0) may still be taken by one, released ones
-- never again.
CREATE TABLE loose_blobs (
    blob BLOB PRIMARY KEY,
    released INTEGER NOT NULL,
    not_before INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX loose_blobs_not_before ON loose_blobs (not_before);
