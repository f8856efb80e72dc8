-- SQLite plans without statistics: of two indexes that look equally good to it, it takes the one that was made first. The one of
-- the times alone is for searches that name nobody and nothing, so it comes last.
DROP INDEX audit_chain_at;
CREATE INDEX audit_chain_at ON audit (chain, at, id);
