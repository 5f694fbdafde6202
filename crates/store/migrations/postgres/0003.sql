-- What the API was told of zones: a JSON object, by host.
ALTER TABLE accounts ADD COLUMN zones TEXT NOT NULL DEFAULT '{}';

-- What nodes were told to purge, for the others. Written under a lock, so that numbers become visible
-- in their order.
CREATE TABLE purges (
    number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    noted TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    node BYTEA NOT NULL,
    purge TEXT NOT NULL
);
