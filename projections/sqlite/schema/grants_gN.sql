CREATE TABLE IF NOT EXISTS grants_gN (
    grant_id   BLOB    NOT NULL PRIMARY KEY,
    link_id    BLOB    NOT NULL,
    sequence   INTEGER NOT NULL,
    status     TEXT    NOT NULL,
    subject    BLOB    NOT NULL,
    due_at     INTEGER, -- when somebody must look at it
    expires_at INTEGER, -- of the access token
    updated_at INTEGER NOT NULL,
    doc        TEXT    NOT NULL
) STRICT;

CREATE INDEX IF NOT EXISTS grants_gN_subject ON grants_gN (link_id, subject, grant_id);

CREATE INDEX IF NOT EXISTS grants_gN_status ON grants_gN (link_id, status, subject, grant_id);

CREATE INDEX IF NOT EXISTS grants_gN_due ON grants_gN (due_at, grant_id) WHERE due_at IS NOT NULL;
