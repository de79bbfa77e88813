-- How a generation is filled from the log: up to target, in passes.
CREATE TABLE IF NOT EXISTS builds (
    name       TEXT   NOT NULL,
    generation BIGINT NOT NULL,
    label      TEXT   NOT NULL, -- of a past state; empty: it is followed up
    target     BIGINT NOT NULL,
    passes     BIGINT NOT NULL,
    passed     BIGINT NOT NULL,
    PRIMARY KEY (name, generation)
);
