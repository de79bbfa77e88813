-- Whether the bulk is indexed and counted: 0 or 1.
ALTER TABLE builds ADD COLUMN IF NOT EXISTS finished BIGINT NOT NULL DEFAULT 0;
