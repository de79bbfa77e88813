-- How a generation is filled from the log: up to target, in passes.
CREATE TABLE IF NOT EXISTS builds (
    name       TEXT   NOT NULL,
    generation INTEGER NOT NULL,
    label      TEXT   NOT NULL, -- of a past state; empty: it is followed up
    target     INTEGER NOT NULL,
    passes     INTEGER NOT NULL,
    passed     INTEGER NOT NULL,
    PRIMARY KEY (name, generation)
) STRICT;
