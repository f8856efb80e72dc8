-- Where this database went, and what outlives a master key.

-- Set together when the database was moved: it takes no writes any more, and nothing is published from it.
ALTER TABLE installation ADD COLUMN moved_at INTEGER;
ALTER TABLE installation ADD COLUMN moved_to TEXT;

-- The master key that everything here is sealed under, told by a number that says nothing about it. NULL: the first one.
ALTER TABLE installation ADD COLUMN master_id BLOB CHECK (length(master_id) = 16);
-- What other keys are derived from, sealed; it stays when the master key is replaced. NULL: the first master key itself.
ALTER TABLE installation ADD COLUMN derivation BLOB;
-- The master key before, sealed: for what a server sealed before it noticed.
ALTER TABLE installation ADD COLUMN former_master BLOB;
