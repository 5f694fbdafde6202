-- Where notifications of an account may be sent.
CREATE TABLE webhooks (
    pk INTEGER PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES accounts,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    url TEXT NOT NULL,
    -- Sealed with the server's secret key, bound to the account and the id.
    secret BLOB,
    created INTEGER NOT NULL,
    last_success INTEGER,
    last_failure INTEGER,
    -- Failures in a row, since when, and until when it is left alone.
    failures INTEGER NOT NULL DEFAULT 0,
    failing_since INTEGER,
    paused_until INTEGER NOT NULL DEFAULT 0,
    UNIQUE (account, id)
) STRICT;

-- What is told to whom.
CREATE TABLE policies (
    pk INTEGER PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES accounts,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT,
    enabled INTEGER NOT NULL,
    created INTEGER NOT NULL,
    modified INTEGER NOT NULL,
    UNIQUE (account, id)
) STRICT;

CREATE TABLE policy_webhooks (
    policy INTEGER NOT NULL REFERENCES policies ON DELETE CASCADE,
    webhook INTEGER NOT NULL REFERENCES webhooks,
    -- Its place among those of the policy.
    place INTEGER NOT NULL,
    PRIMARY KEY (policy, webhook)
) STRICT, WITHOUT ROWID;

CREATE INDEX policy_webhooks_webhook ON policy_webhooks (webhook);

-- What happened and was not yet told, or not yet with success.
CREATE TABLE notifications (
    pk INTEGER PRIMARY KEY,
    policy INTEGER NOT NULL REFERENCES policies ON DELETE CASCADE,
    webhook INTEGER NOT NULL REFERENCES webhooks ON DELETE CASCADE,
    image TEXT NOT NULL,
    creator TEXT,
    -- Of an upload which succeeded; one which failed has a reason instead.
    uploaded INTEGER,
    reason TEXT,
    happened INTEGER NOT NULL,
    -- Attempts which failed.
    attempts INTEGER NOT NULL DEFAULT 0,
    noted INTEGER NOT NULL,
    -- Later than now while somebody tells it.
    due INTEGER NOT NULL
) STRICT;

CREATE INDEX notifications_due ON notifications (webhook, due);
CREATE INDEX notifications_turn ON notifications (webhook, attempts, pk);
CREATE INDEX notifications_policy ON notifications (policy, image);
