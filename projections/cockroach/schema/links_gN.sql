CREATE TABLE IF NOT EXISTS links_gN (
    link_id    UUID        NOT NULL PRIMARY KEY,
    sequence   BIGINT      NOT NULL,
    status     TEXT        NOT NULL, -- empty while only events of its grants are known
    provider   TEXT        NOT NULL,
    health     TEXT        NOT NULL, -- of its grants
    next_expiry TIMESTAMPTZ, -- of an access token, while it is kept alive
    name_lower BYTEA       NOT NULL, -- bytes, so that no collation has a say
    updated_at TIMESTAMPTZ NOT NULL,
    doc        JSONB       NOT NULL
);

-- By two filters at once. By one of them alone, a page that the other leaves empty
-- is found out only by reading all rows. They are made first, for between indexes
-- that look alike SQLite takes the first.
CREATE INDEX IF NOT EXISTS links_gN_provider_name ON links_gN (provider, status, name_lower, link_id);

CREATE INDEX IF NOT EXISTS links_gN_provider_expiry ON links_gN (provider, status, next_expiry, link_id) WHERE next_expiry IS NOT NULL;

CREATE INDEX IF NOT EXISTS links_gN_status ON links_gN (status, sequence DESC);

CREATE INDEX IF NOT EXISTS links_gN_provider ON links_gN (provider, status, sequence DESC);

CREATE INDEX IF NOT EXISTS links_gN_name ON links_gN (status, name_lower, link_id);

CREATE INDEX IF NOT EXISTS links_gN_health ON links_gN (health, status, sequence DESC);

CREATE INDEX IF NOT EXISTS links_gN_expiry ON links_gN (status, next_expiry, link_id) WHERE next_expiry IS NOT NULL;

CREATE TABLE IF NOT EXISTS link_counts_gN (
    provider TEXT   NOT NULL,
    status   TEXT   NOT NULL,
    health   TEXT   NOT NULL,
    links    BIGINT NOT NULL,
    PRIMARY KEY (provider, status, health)
);

-- The grants as the links' counts know them.
CREATE TABLE IF NOT EXISTS link_grants_gN (
    grant_id   UUID   NOT NULL PRIMARY KEY,
    link_id    UUID   NOT NULL,
    sequence   BIGINT NOT NULL,
    status     TEXT   NOT NULL,
    expires_at TIMESTAMPTZ, -- of the access token, while the grant is healthy or retrying
    doc        JSONB  NOT NULL
);

CREATE INDEX IF NOT EXISTS link_grants_gN_expiry ON link_grants_gN (link_id, expires_at, grant_id) WHERE expires_at IS NOT NULL;
