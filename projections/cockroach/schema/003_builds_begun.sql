-- How many passes have begun to store rows.
ALTER TABLE builds ADD COLUMN IF NOT EXISTS begun BIGINT NOT NULL DEFAULT 0;
