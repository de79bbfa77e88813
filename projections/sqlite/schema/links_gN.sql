CREATE TABLE IF NOT EXISTS links_gN (
    link_id    BLOB    NOT NULL PRIMARY KEY,
    sequence   INTEGER NOT NULL,
    changed    INTEGER NOT NULL, -- the place in the list: a renewed token leaves it alone
    status     TEXT    NOT NULL, -- empty while only events of its grants are known
    provider   TEXT    NOT NULL,
    health     TEXT    NOT NULL, -- of its grants
    name_lower BLOB    NOT NULL,
    updated_at INTEGER NOT NULL,
    doc        TEXT    NOT NULL
) STRICT;

-- By two filters at once. By one of them alone, a page that the other leaves empty
-- is found out only by reading all rows. They are made first, for between indexes
-- that look alike SQLite takes the first.
CREATE INDEX IF NOT EXISTS links_gN_provider_name ON links_gN (provider, status, name_lower, link_id);

CREATE INDEX IF NOT EXISTS links_gN_status ON links_gN (status, changed DESC);

CREATE INDEX IF NOT EXISTS links_gN_provider ON links_gN (provider, status, changed DESC);

CREATE INDEX IF NOT EXISTS links_gN_name ON links_gN (status, name_lower, link_id);

CREATE INDEX IF NOT EXISTS links_gN_health ON links_gN (health, status, changed DESC);

-- When the first access token of a link ends that is kept alive. It moves with
-- nearly every token that is renewed, and the links' rows do not.
CREATE TABLE IF NOT EXISTS link_expiries_gN (
    link_id     BLOB NOT NULL PRIMARY KEY,
    status      TEXT NOT NULL, -- of the link, and so on
    provider    TEXT NOT NULL,
    health      TEXT NOT NULL,
    name_lower  BLOB NOT NULL,
    next_expiry INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS link_expiries_gN_provider ON link_expiries_gN (provider, status, next_expiry, link_id) WHERE next_expiry IS NOT NULL;

CREATE INDEX IF NOT EXISTS link_expiries_gN_status ON link_expiries_gN (status, next_expiry, link_id) WHERE next_expiry IS NOT NULL;

CREATE TABLE IF NOT EXISTS link_counts_gN (
    provider  TEXT    NOT NULL,
    status    TEXT    NOT NULL,
    health    TEXT    NOT NULL,
    links     INTEGER NOT NULL,
    healthy   INTEGER NOT NULL, -- of their grants, and so on
    retrying  INTEGER NOT NULL,
    attention INTEGER NOT NULL,
    PRIMARY KEY (provider, status, health)
) STRICT;

CREATE TABLE IF NOT EXISTS grants_gN (
    grant_id   BLOB    NOT NULL PRIMARY KEY,
    link_id    BLOB    NOT NULL,
    sequence   INTEGER NOT NULL,
    status     TEXT    NOT NULL,
    subject    BLOB    NOT NULL,
    due_at     INTEGER, -- when somebody must look at it
    expires_at INTEGER, -- of the access token
    kept_until INTEGER, -- the same, while the grant is healthy or retrying
    updated_at INTEGER NOT NULL,
    doc        TEXT    NOT NULL
) STRICT;

CREATE INDEX IF NOT EXISTS grants_gN_subject ON grants_gN (link_id, subject, grant_id);

CREATE INDEX IF NOT EXISTS grants_gN_status ON grants_gN (link_id, status, subject, grant_id);

CREATE INDEX IF NOT EXISTS grants_gN_due ON grants_gN (due_at, grant_id) WHERE due_at IS NOT NULL;

CREATE INDEX IF NOT EXISTS grants_gN_kept ON grants_gN (link_id, kept_until, grant_id) WHERE kept_until IS NOT NULL;
