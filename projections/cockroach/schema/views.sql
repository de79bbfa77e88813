CREATE OR REPLACE VIEW links_list AS SELECT
    link_id, doc -> 'state' ->> 'name' AS name, provider, status, doc -> 'state' ->> 'trouble' AS reason,
    (doc -> 'grants' ->> 'total')::BIGINT AS grants, (doc -> 'grants' ->> 'healthy')::BIGINT AS healthy,
    (doc -> 'grants' ->> 'retrying')::BIGINT AS retrying, (doc -> 'grants' ->> 'attention')::BIGINT AS attention,
    (doc -> 'grants' ->> 'pending')::BIGINT AS pending, (doc -> 'grants' ->> 'suspended')::BIGINT AS suspended,
    (SELECT next_expiry FROM link_expiries_g{links} e WHERE e.link_id = l.link_id) AS next_expiry, updated_at, sequence
FROM links_g{links} l WHERE status <> '';

CREATE OR REPLACE VIEW grants_due AS SELECT
    grant_id, link_id, doc::JSONB -> 'state' ->> 'subject' AS subject, status, due_at, expires_at,
    (doc::JSONB -> 'state' ->> 'generation')::BIGINT AS generation, coalesce((doc::JSONB -> 'state' ->> 'failures')::BIGINT, 0) AS failures,
    doc::JSONB -> 'state' ->> 'deferred' AS deferred, doc::JSONB -> 'state' ->> 'reauthorize' AS reauthorize, sequence
FROM grants_g{links} WHERE due_at IS NOT NULL;

CREATE OR REPLACE VIEW activity AS SELECT
    sequence, at, type, link_id, grant_id, actor, data::JSONB AS data
FROM activity_g{activity};

CREATE OR REPLACE VIEW refresh_health AS SELECT
    provider, sum(links)::BIGINT AS links, coalesce(sum(links) FILTER (WHERE status = 'degraded'), 0)::BIGINT AS degraded,
    sum(healthy)::BIGINT AS healthy, sum(retrying)::BIGINT AS retrying, sum(attention)::BIGINT AS attention,
    (SELECT min(first) FROM (SELECT min(next_expiry) AS first FROM link_expiries_g{links} l WHERE l.provider = c.provider AND l.status = 'active'
        UNION ALL SELECT min(next_expiry) FROM link_expiries_g{links} l WHERE l.provider = c.provider AND l.status = 'degraded'
        UNION ALL SELECT min(next_expiry) FROM link_expiries_g{links} l WHERE l.provider = c.provider AND l.status = 'disabled') AS firsts) AS next_expiry
FROM link_counts_g{links} c WHERE links > 0 GROUP BY provider;
