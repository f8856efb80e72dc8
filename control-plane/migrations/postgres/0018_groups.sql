-- Edge groups: one chain of frames for each, beside the one of all organisations, which is feed 0. The numbers of frames are
-- shared: the frame at one place says in each feed what of it concerns the feed.

-- `version` is that of the list of admitted organisations. A group that is configured no more keeps its number.
CREATE TABLE feed_groups (
    feed       BIGINT NOT NULL PRIMARY KEY CHECK (feed > 0),
    name       TEXT   NOT NULL UNIQUE,
    version    BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    removed_at BIGINT
);

-- The organisations of a group, and those that it had: until its edges have the frame of the removal, receipts wait for them.
CREATE TABLE feed_group_orgs (
    feed          BIGINT NOT NULL REFERENCES feed_groups (feed),
    org_id        BIGINT NOT NULL,
    removed_epoch BIGINT,
    removed_seq   BIGINT,
    PRIMARY KEY (feed, org_id)
);

-- Whom a row concerns: numbers of organisations between commas; NULL: all.
ALTER TABLE outbox ADD COLUMN orgs TEXT;
ALTER TABLE receipts ADD COLUMN orgs TEXT;

-- Which feed the position is in: one that was acknowledged in another counts for nothing.
ALTER TABLE edge_peers ADD COLUMN feed BIGINT NOT NULL DEFAULT 0;

ALTER TABLE feed_certificates ADD COLUMN feed BIGINT NOT NULL DEFAULT 0;
ALTER TABLE feed_certificates DROP CONSTRAINT feed_certificates_pkey;
ALTER TABLE feed_certificates ADD PRIMARY KEY (feed, epoch, signing_key);

ALTER TABLE feed_frames ADD COLUMN feed BIGINT NOT NULL DEFAULT 0;
ALTER TABLE feed_frames DROP CONSTRAINT feed_frames_pkey;
ALTER TABLE feed_frames ADD PRIMARY KEY (feed, epoch, seq);

ALTER TABLE feed_snapshots ADD COLUMN feed BIGINT NOT NULL DEFAULT 0;
ALTER TABLE feed_snapshots DROP CONSTRAINT feed_snapshots_pkey;
ALTER TABLE feed_snapshots ADD PRIMARY KEY (feed, epoch, seq, chunk);
