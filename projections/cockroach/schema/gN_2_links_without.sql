-- The column stays, for views go with theirs, and with the right to read them;
-- the next rebuild leaves it behind.
DROP INDEX IF EXISTS links_gN_provider_expiry;

DROP INDEX IF EXISTS links_gN_expiry;
