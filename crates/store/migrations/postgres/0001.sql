-- Moments are microseconds since 1970 in UTC. Names are compared byte by byte (COLLATE "C"). Texts
-- which may be longer than an index takes, or hold the character NUL, are found by their SHA-256.

CREATE TABLE accounts (
    pk BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id TEXT COLLATE "C" NOT NULL UNIQUE,
    hash TEXT COLLATE "C" NOT NULL UNIQUE,
    name TEXT NOT NULL,
    created BIGINT NOT NULL,
    flexible_variants BOOLEAN NOT NULL,
    browser_ttl BIGINT NOT NULL,
    preserve_content_credentials BOOLEAN NOT NULL,
    -- A deleted account gives up its id and hash at once and stays until its images are gone.
    deleted BOOLEAN NOT NULL DEFAULT FALSE
);

CREATE INDEX accounts_deleted ON accounts (pk) WHERE deleted;

CREATE TABLE tokens (
    pk BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- SHA-256 of the token, which itself is never stored.
    hash BYTEA NOT NULL UNIQUE,
    account BIGINT NOT NULL REFERENCES accounts,
    id TEXT COLLATE "C" NOT NULL,
    name TEXT NOT NULL,
    permission TEXT NOT NULL,
    created BIGINT NOT NULL,
    expires BIGINT,
    not_before BIGINT,
    UNIQUE (account, id)
);

CREATE TABLE signing_keys (
    pk BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account BIGINT NOT NULL REFERENCES accounts,
    name TEXT COLLATE "C" NOT NULL,
    -- Sealed with the servers' secret key, bound to the account and the name.
    value BYTEA NOT NULL,
    UNIQUE (account, name)
);

CREATE TABLE variants (
    pk BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account BIGINT NOT NULL REFERENCES accounts,
    name TEXT COLLATE "C" NOT NULL,
    -- The JSON of the API, to the letter.
    options TEXT NOT NULL,
    never_require_signed_urls BOOLEAN NOT NULL,
    UNIQUE (account, name)
);

-- A row without blob is a draft: it waits for its bytes.
CREATE TABLE images (
    pk BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account BIGINT NOT NULL REFERENCES accounts,
    id TEXT NOT NULL,
    id_hash BYTEA NOT NULL,
    uploaded BIGINT NOT NULL,
    require_signed_urls BOOLEAN NOT NULL,
    draft_expires BIGINT,
    blob BYTEA,
    bytes BIGINT,
    sha256 BYTEA,
    format TEXT,
    width BIGINT,
    height BIGINT,
    filename TEXT,
    creator BYTEA,
    -- Of the empty text without a creator.
    creator_hash BYTEA NOT NULL,
    -- JSON to the letter, which JSONB would not keep.
    metadata TEXT
);

CREATE UNIQUE INDEX images_id ON images (account, id_hash);
CREATE UNIQUE INDEX images_blob ON images (blob) WHERE blob IS NOT NULL;
-- No two images of an account share a microsecond, so a list needs no second key.
CREATE UNIQUE INDEX images_uploaded ON images (account, uploaded) WHERE blob IS NOT NULL;
CREATE INDEX images_creator ON images (account, creator_hash, uploaded) WHERE blob IS NOT NULL;
CREATE INDEX images_draft ON images (draft_expires) WHERE blob IS NULL;

-- How many images there are, without drafts, kept by every transaction which changes it: the sum
-- over the slots. Every connection counts in a slot of its own, so that they do not wait for each
-- other.
CREATE TABLE image_counts (
    account BIGINT NOT NULL,
    slot SMALLINT NOT NULL,
    images BIGINT NOT NULL,
    -- No image which was counted here was ever uploaded later than this.
    last_uploaded BIGINT NOT NULL,
    PRIMARY KEY (account, slot)
);

-- The same for each creator; the SHA-256 of the empty text stands for images without one.
CREATE TABLE creator_counts (
    account BIGINT NOT NULL,
    creator_hash BYTEA NOT NULL,
    slot SMALLINT NOT NULL,
    images BIGINT NOT NULL,
    PRIMARY KEY (account, creator_hash, slot)
);

-- The scalars in the metadata of images, to find candidates for a filter. Long values are cut, and
-- keys with dots look like paths: who reads this checks the image itself.
CREATE TABLE leaves (
    account BIGINT NOT NULL,
    path BYTEA NOT NULL,
    -- Bytes whose order is that of the values.
    value BYTEA NOT NULL,
    uploaded BIGINT NOT NULL,
    image BIGINT NOT NULL,
    PRIMARY KEY (account, path, value, uploaded)
);

-- Blobs without a record: reserved ones may still be taken by one, released ones never again.
CREATE TABLE loose_blobs (
    blob BYTEA PRIMARY KEY,
    released BOOLEAN NOT NULL,
    not_before BIGINT NOT NULL
);

CREATE INDEX loose_blobs_not_before ON loose_blobs (not_before);

-- What every node must forget of what it remembers, for a short while. Without an image it is the
-- settings, without an account it is everything.
CREATE TABLE changes (
    xid XID8 NOT NULL DEFAULT pg_current_xact_id(),
    noted TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    account TEXT COLLATE "C",
    image TEXT
);

CREATE INDEX changes_xid ON changes (xid);

-- Who does what only one node may do.
CREATE TABLE leases (
    job TEXT COLLATE "C" PRIMARY KEY,
    holder BYTEA NOT NULL,
    lapses TIMESTAMPTZ NOT NULL
);

-- Opens with the secret key of the servers, so that one with another key is refused.
CREATE TABLE seal (value BYTEA NOT NULL);
