-- What the API was told of zones: a JSON object, by host.
ALTER TABLE accounts ADD COLUMN zones TEXT NOT NULL DEFAULT '{}';
