-- Until one of these lapses, no blob is handed out as abandoned: somebody is copying.
CREATE TABLE holds (
    holder BYTEA PRIMARY KEY,
    lapses TIMESTAMPTZ NOT NULL
);

-- What the database is being filled from, until that is complete.
CREATE TABLE incoming (origin TEXT NOT NULL);

-- What the triggers do which close the database to writes, as long as they are there.
CREATE FUNCTION refuse_write() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'closed to writes' USING ERRCODE = 'CALCL'; END $$;
