-- What an organisation has set; 0: the installation. Null: as the configuration says. `renewed_since`: rotating a key starts its
-- lifetime anew.
CREATE TABLE settings (
    org_id              BIGINT NOT NULL PRIMARY KEY,
    version             BIGINT NOT NULL,
    usage_days          BIGINT,
    address_days        BIGINT,
    detail_days         BIGINT,
    key_max_days        BIGINT,
    key_remind_days     BIGINT,
    renewed_since       BIGINT,
    api_key_signer_days BIGINT,
    token_signer_days   BIGINT,
    changed_at          BIGINT NOT NULL
);

-- Up to when the rows of a chain were gone through: before these times nothing is left to let go.
CREATE TABLE retention_state (
    chain            BIGINT NOT NULL PRIMARY KEY,
    details_before   BIGINT NOT NULL,
    addresses_before BIGINT NOT NULL,
    usage_before     BIGINT NOT NULL
);

-- Erased in this organisation; everywhere, once no other organisation has them.
ALTER TABLE memberships ADD COLUMN erased_at BIGINT;
ALTER TABLE users ADD COLUMN erased_at BIGINT;
CREATE INDEX sessions_org_created ON sessions (org_id, created_at);
CREATE INDEX memberships_user ON memberships (user_id, org_id);

-- When the owner of a key was told that it ends.
ALTER TABLE api_keys ADD COLUMN reminded_at BIGINT;
CREATE INDEX api_keys_to_remind ON api_keys (org_id, expires_at_seconds, id)
    WHERE expires_at_seconds IS NOT NULL AND revoked_at IS NULL AND rotated_to IS NULL AND reminded_at IS NULL;
