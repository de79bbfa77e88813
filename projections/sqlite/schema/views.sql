DROP VIEW IF EXISTS links_list;

CREATE VIEW links_list AS
SELECT doc ->> '$.link_id' AS link_id, doc ->> '$.state.name' AS name, provider, status, doc ->> '$.state.trouble' AS reason,
       doc ->> '$.grants.total' AS grants, doc ->> '$.grants.healthy' AS healthy, doc ->> '$.grants.retrying' AS retrying,
       doc ->> '$.grants.attention' AS attention, doc ->> '$.grants.pending' AS pending, doc ->> '$.grants.suspended' AS suspended,
       (SELECT strftime('%Y-%m-%dT%H:%M:%fZ', next_expiry / 1000000.0, 'unixepoch') FROM link_expiries_g{links} e WHERE e.link_id = l.link_id) AS next_expiry,
       doc ->> '$.updated_at' AS updated_at, sequence
FROM links_g{links} l WHERE status <> '';

DROP VIEW IF EXISTS grants_due;

CREATE VIEW grants_due AS
SELECT doc ->> '$.grant_id' AS grant_id, doc ->> '$.link_id' AS link_id, doc ->> '$.state.subject' AS subject, status,
       strftime('%Y-%m-%dT%H:%M:%fZ', due_at / 1000000.0, 'unixepoch') AS due_at, doc ->> '$.state.credential.expires_at' AS expires_at,
       doc ->> '$.state.generation' AS generation, coalesce(doc ->> '$.state.failures', 0) AS failures,
       doc ->> '$.state.deferred' AS deferred, doc ->> '$.state.reauthorize' AS reauthorize, sequence
FROM grants_g{links} WHERE due_at IS NOT NULL;

DROP VIEW IF EXISTS activity;

CREATE VIEW activity AS
SELECT sequence, strftime('%Y-%m-%dT%H:%M:%fZ', at / 1000000.0, 'unixepoch') AS at, type,
       lower(substr(hex(link_id), 1, 8) || '-' || substr(hex(link_id), 9, 4) || '-' || substr(hex(link_id), 13, 4) || '-' || substr(hex(link_id), 17, 4) || '-' || substr(hex(link_id), 21)) AS link_id,
       CASE WHEN grant_id IS NULL THEN NULL ELSE lower(substr(hex(grant_id), 1, 8) || '-' || substr(hex(grant_id), 9, 4) || '-' || substr(hex(grant_id), 13, 4) || '-' || substr(hex(grant_id), 17, 4) || '-' || substr(hex(grant_id), 21)) END AS grant_id,
       actor, json(data) AS data
FROM activity_g{activity};

DROP VIEW IF EXISTS refresh_health;

CREATE VIEW refresh_health AS
SELECT provider, sum(links) AS links, sum(CASE WHEN status = 'degraded' THEN links ELSE 0 END) AS degraded,
       sum(healthy) AS healthy, sum(retrying) AS retrying, sum(attention) AS attention,
       (SELECT strftime('%Y-%m-%dT%H:%M:%fZ', min(first) / 1000000.0, 'unixepoch') FROM (
           SELECT min(next_expiry) AS first FROM link_expiries_g{links} l WHERE l.provider = c.provider AND l.status = 'active' UNION ALL
           SELECT min(next_expiry) FROM link_expiries_g{links} l WHERE l.provider = c.provider AND l.status = 'degraded' UNION ALL
           SELECT min(next_expiry) FROM link_expiries_g{links} l WHERE l.provider = c.provider AND l.status = 'disabled')) AS next_expiry
FROM link_counts_g{links} c WHERE links > 0 GROUP BY provider;
