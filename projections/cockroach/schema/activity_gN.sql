CREATE TABLE IF NOT EXISTS activity_gN (
    link_id     UUID        NOT NULL,
    sequence    BIGINT      NOT NULL,
    grant_id    UUID, -- of a grant's event
    type        TEXT        NOT NULL,
    at          TIMESTAMPTZ NOT NULL,
    nanos       BIGINT      NOT NULL, -- beyond the microsecond
    id          UUID        NOT NULL,
    version     BIGINT      NOT NULL, -- of the link or grant
    actor       TEXT        NOT NULL,
    correlation TEXT        NOT NULL,
    causation   TEXT        NOT NULL,
    traceparent TEXT        NOT NULL,
    hash        TEXT        NOT NULL,
    data        TEXT        NOT NULL, -- JSON as the log has it: JSONB would order its members anew
    PRIMARY KEY (link_id, sequence)
);

CREATE INDEX IF NOT EXISTS activity_gN_grant ON activity_gN (link_id, grant_id, sequence) WHERE grant_id IS NOT NULL;
