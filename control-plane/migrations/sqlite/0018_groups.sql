-- Edge groups: one chain of frames for each, beside the one of all organisations, which is feed 0. The numbers of frames are
-- shared: the frame at one place says in each feed what of it concerns the feed.

-- `version` is that of the list of admitted organisations. A group that is configured no more keeps its number.
CREATE TABLE feed_groups (
    feed       INTEGER NOT NULL PRIMARY KEY CHECK (feed > 0),
    name       TEXT    NOT NULL UNIQUE,
    version    INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    removed_at INTEGER
) STRICT;

-- The organisations of a group, and those that it had: until its edges have the frame of the removal, receipts wait for them.
CREATE TABLE feed_group_orgs (
    feed          INTEGER NOT NULL REFERENCES feed_groups (feed),
    org_id        INTEGER NOT NULL,
    removed_epoch INTEGER,
    removed_seq   INTEGER,
    PRIMARY KEY (feed, org_id)
) STRICT;

-- Whom a row concerns: numbers of organisations between commas; NULL: all.
ALTER TABLE outbox ADD COLUMN orgs TEXT;
ALTER TABLE receipts ADD COLUMN orgs TEXT;

-- Which feed the position is in: one that was acknowledged in another counts for nothing.
ALTER TABLE edge_peers ADD COLUMN feed INTEGER NOT NULL DEFAULT 0;

ALTER TABLE feed_certificates RENAME TO feed_certificates_before;
CREATE TABLE feed_certificates (
    epoch       INTEGER NOT NULL,
    signing_key INTEGER NOT NULL,
    certificate BLOB    NOT NULL,
    created_at  INTEGER NOT NULL,
    feed        INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (feed, epoch, signing_key)
) STRICT;
INSERT INTO feed_certificates (epoch, signing_key, certificate, created_at)
SELECT epoch, signing_key, certificate, created_at FROM feed_certificates_before;
DROP TABLE feed_certificates_before;

ALTER TABLE feed_frames RENAME TO feed_frames_before;
CREATE TABLE feed_frames (
    epoch      INTEGER NOT NULL,
    seq        INTEGER NOT NULL,
    digest     BLOB    NOT NULL,
    envelope   BLOB,
    entries    INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    feed       INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (feed, epoch, seq)
) STRICT;
INSERT INTO feed_frames (epoch, seq, digest, envelope, entries, created_at)
SELECT epoch, seq, digest, envelope, entries, created_at FROM feed_frames_before;
DROP TABLE feed_frames_before;

ALTER TABLE feed_snapshots RENAME TO feed_snapshots_before;
CREATE TABLE feed_snapshots (
    epoch      INTEGER NOT NULL,
    seq        INTEGER NOT NULL,
    chunk      INTEGER NOT NULL,
    bytes      BLOB    NOT NULL CHECK (length(bytes) <= 1048576),
    created_at INTEGER NOT NULL,
    feed       INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (feed, epoch, seq, chunk)
) STRICT;
INSERT INTO feed_snapshots (epoch, seq, chunk, bytes, created_at)
SELECT epoch, seq, chunk, bytes, created_at FROM feed_snapshots_before;
DROP TABLE feed_snapshots_before;
