CREATE TABLE IF NOT EXISTS activity_gN (
    link_id  UUID        NOT NULL,
    sequence BIGINT      NOT NULL,
    grant_id UUID, -- of a grant's event
    type     TEXT        NOT NULL,
    at       TIMESTAMPTZ NOT NULL,
    doc      TEXT        NOT NULL, -- the event as the log has it: JSONB would order its members anew
    PRIMARY KEY (link_id, sequence)
);

CREATE INDEX IF NOT EXISTS activity_gN_grant ON activity_gN (link_id, grant_id, sequence) WHERE grant_id IS NOT NULL;
