-- Whether the bulk is indexed and counted: 0 or 1.
ALTER TABLE builds ADD COLUMN finished INTEGER NOT NULL DEFAULT 0;
