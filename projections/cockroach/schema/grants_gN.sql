CREATE TABLE IF NOT EXISTS grants_gN (
    grant_id   UUID        NOT NULL PRIMARY KEY,
    link_id    UUID        NOT NULL,
    sequence   BIGINT      NOT NULL,
    status     TEXT        NOT NULL,
    subject    BYTEA       NOT NULL, -- bytes, so that no collation has a say
    due_at     TIMESTAMPTZ, -- when somebody must look at it
    expires_at TIMESTAMPTZ, -- of the access token
    updated_at TIMESTAMPTZ NOT NULL,
    doc        JSONB       NOT NULL
);

CREATE INDEX IF NOT EXISTS grants_gN_subject ON grants_gN (link_id, subject, grant_id);

CREATE INDEX IF NOT EXISTS grants_gN_status ON grants_gN (link_id, status, subject, grant_id);

CREATE INDEX IF NOT EXISTS grants_gN_due ON grants_gN (due_at, grant_id) WHERE due_at IS NOT NULL;
