-- What lists and the overview of the dashboard read: an index for each order and filter, and requests by the day.

-- Prefixes are found in an index only where texts are compared byte by byte, as SQLite does.
ALTER TABLE api_keys ALTER COLUMN name_lower TYPE TEXT COLLATE "C";

CREATE INDEX api_keys_live ON api_keys (org_id, created_at, id) WHERE revoked_at IS NULL;
CREATE INDEX api_keys_revoked ON api_keys (org_id, created_at, id) WHERE revoked_at IS NOT NULL;
CREATE INDEX api_keys_workspace ON api_keys (org_id, workspace_id, created_at, id);
CREATE INDEX api_keys_member ON api_keys (org_id, user_id, created_at, id);
CREATE INDEX api_keys_name ON api_keys (org_id, name_lower, id);
CREATE INDEX api_keys_ending ON api_keys (org_id, expires_at_seconds, id) WHERE revoked_at IS NULL AND expires_at_seconds IS NOT NULL;
CREATE INDEX audit_target_at ON audit (target, at, id);

-- Sums of usage_hours, written with them: a month of an organisation is a few hundred rows, however many keys it has.
CREATE TABLE usage_days (
    org_id   BIGINT NOT NULL,
    day      BIGINT NOT NULL,
    reason   TEXT    NOT NULL,
    requests BIGINT NOT NULL,
    last_at  BIGINT NOT NULL,
    PRIMARY KEY (org_id, day, reason)
);
INSERT INTO usage_days (org_id, day, reason, requests, last_at)
SELECT org_id, hour / 24, reason, CAST(SUM(requests) AS BIGINT), MAX(last_at) FROM usage_hours GROUP BY org_id, hour / 24, reason;

-- What `portcullis demo` made, so that it can be taken away again.
CREATE TABLE demo_objects (
    kind TEXT    NOT NULL CHECK (kind IN ('user', 'workspace', 'key')),
    id   BIGINT  NOT NULL,
    PRIMARY KEY (kind, id)
);
