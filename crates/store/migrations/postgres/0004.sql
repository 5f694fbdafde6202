-- Where notifications of an account may be sent.
CREATE TABLE webhooks (
    pk BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account BIGINT NOT NULL REFERENCES accounts,
    id TEXT COLLATE "C" NOT NULL,
    name TEXT NOT NULL,
    url TEXT NOT NULL,
    -- Sealed with the servers' secret key, bound to the account and the id.
    secret BYTEA,
    created BIGINT NOT NULL,
    last_success BIGINT,
    last_failure BIGINT,
    -- Failures in a row, since when, and until when it is left alone, by the clock of the database.
    failures BIGINT NOT NULL DEFAULT 0,
    failing_since TIMESTAMPTZ,
    paused_until TIMESTAMPTZ NOT NULL DEFAULT '-infinity',
    UNIQUE (account, id)
);

-- What is told to whom.
CREATE TABLE policies (
    pk BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account BIGINT NOT NULL REFERENCES accounts,
    id TEXT COLLATE "C" NOT NULL,
    name TEXT NOT NULL,
    description TEXT,
    enabled BOOLEAN NOT NULL,
    created BIGINT NOT NULL,
    modified BIGINT NOT NULL,
    UNIQUE (account, id)
);

CREATE TABLE policy_webhooks (
    policy BIGINT NOT NULL REFERENCES policies ON DELETE CASCADE,
    webhook BIGINT NOT NULL REFERENCES webhooks,
    -- Its place among those of the policy.
    place BIGINT NOT NULL,
    PRIMARY KEY (policy, webhook)
);

CREATE INDEX policy_webhooks_webhook ON policy_webhooks (webhook);

-- What happened and was not yet told, or not yet with success. Moments of the
-- telling are by the clock of the database, since those of nodes differ.
CREATE TABLE notifications (
    pk BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    policy BIGINT NOT NULL REFERENCES policies ON DELETE CASCADE,
    webhook BIGINT NOT NULL REFERENCES webhooks ON DELETE CASCADE,
    image TEXT NOT NULL,
    -- As in `images`.
    image_hash BYTEA NOT NULL,
    creator BYTEA,
    -- Of an upload which succeeded; one which failed has a reason instead.
    uploaded BIGINT,
    reason TEXT,
    happened BIGINT NOT NULL,
    -- Attempts which failed.
    attempts BIGINT NOT NULL DEFAULT 0,
    noted TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    -- Later than now while somebody tells it.
    due TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
);

CREATE INDEX notifications_due ON notifications (webhook, due);
CREATE INDEX notifications_turn ON notifications (webhook, attempts, pk);
CREATE INDEX notifications_policy ON notifications (policy, image_hash);
