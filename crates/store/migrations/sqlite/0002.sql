-- Until one of these lapses, no blob is handed out as abandoned: somebody is copying.
CREATE TABLE holds (
    holder BLOB PRIMARY KEY,
    lapses INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What the database is being filled from, until that is complete.
CREATE TABLE incoming (origin TEXT NOT NULL) STRICT;
