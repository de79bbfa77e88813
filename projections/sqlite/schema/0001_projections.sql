-- How far each generation of each projection has come. Readers use the active one.
CREATE TABLE IF NOT EXISTS projections (
    name       TEXT    NOT NULL,
    generation INTEGER NOT NULL,
    state      TEXT    NOT NULL CHECK (state IN ('active', 'building', 'retired')),
    sequence   INTEGER NOT NULL,
    problem    TEXT    NOT NULL,
    updated_at INTEGER NOT NULL, -- microseconds since 1970
    PRIMARY KEY (name, generation)
) STRICT;

CREATE UNIQUE INDEX IF NOT EXISTS projections_active ON projections (name) WHERE state = 'active';
