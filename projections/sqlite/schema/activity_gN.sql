CREATE TABLE IF NOT EXISTS activity_gN (
    sequence    INTEGER PRIMARY KEY,
    link_id     BLOB    NOT NULL,
    grant_id    BLOB, -- of a grant's event
    type        TEXT    NOT NULL,
    at          INTEGER NOT NULL,
    nanos       INTEGER NOT NULL, -- beyond the microsecond
    id          BLOB    NOT NULL,
    version     INTEGER NOT NULL, -- of the link or grant
    actor       TEXT    NOT NULL,
    correlation TEXT    NOT NULL,
    causation   TEXT    NOT NULL,
    traceparent TEXT    NOT NULL,
    hash        TEXT    NOT NULL,
    data        TEXT    NOT NULL -- JSON as the log has it
) STRICT;

CREATE INDEX IF NOT EXISTS activity_gN_link ON activity_gN (link_id, sequence);

CREATE INDEX IF NOT EXISTS activity_gN_grant ON activity_gN (link_id, grant_id, sequence) WHERE grant_id IS NOT NULL;
