-- How many passes have begun to store rows.
ALTER TABLE builds ADD COLUMN begun INTEGER NOT NULL DEFAULT 0;
