-- What a version left that kept the next expiry in the links' rows.
INSERT INTO link_expiries_gN (link_id, status, provider, health, name_lower, next_expiry)
    SELECT link_id, status, provider, health, name_lower, next_expiry FROM links_gN WHERE true
    ON CONFLICT (link_id) DO NOTHING;
