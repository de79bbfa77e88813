CREATE TABLE IF NOT EXISTS activity_gN (
    sequence INTEGER PRIMARY KEY,
    link_id  BLOB    NOT NULL,
    grant_id BLOB, -- of a grant's event
    type     TEXT    NOT NULL,
    at       INTEGER NOT NULL,
    doc      TEXT    NOT NULL
) STRICT;

CREATE INDEX IF NOT EXISTS activity_gN_link ON activity_gN (link_id, sequence);

CREATE INDEX IF NOT EXISTS activity_gN_grant ON activity_gN (link_id, grant_id, sequence) WHERE grant_id IS NOT NULL;
