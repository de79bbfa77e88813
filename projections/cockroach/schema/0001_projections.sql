-- How far each generation of each projection has come. Readers use the active one.
CREATE TABLE IF NOT EXISTS projections (
    name       TEXT        NOT NULL,
    generation BIGINT      NOT NULL,
    state      TEXT        NOT NULL CHECK (state IN ('active', 'building', 'retired')),
    sequence   BIGINT      NOT NULL,
    problem    TEXT        NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (name, generation)
);

CREATE UNIQUE INDEX IF NOT EXISTS projections_active ON projections (name) WHERE state = 'active';
