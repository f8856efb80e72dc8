-- What administrators do to members. Times are Unix milliseconds.

-- `ceiling_version` is the version under which the edge was told last what a member may do; `changed_at` is when. A member who
-- was deactivated is suspended as well, until the block is lifted; what was ended then stays dead.
ALTER TABLE memberships ADD COLUMN ceiling_version BIGINT;
ALTER TABLE memberships ADD COLUMN changed_at BIGINT;
ALTER TABLE memberships ADD COLUMN deactivated_at BIGINT;
CREATE INDEX api_keys_user ON api_keys (org_id, user_id) WHERE revoked_at IS NULL;
