-- Organisations and what they own, API keys, idempotency, audit. Times are Unix milliseconds unless the column says
-- `_seconds`. Status is told by nullable times, never by booleans. Ids are numbers below 2^53.

-- One row: this database. It publishes only where a file beside it names the same incarnation, which a copy elsewhere lacks
-- until it takes over.
CREATE TABLE installation (
    id          BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    incarnation BYTEA    NOT NULL CHECK (length(incarnation) = 16),
    created_at  BIGINT NOT NULL
);

-- `not_before_seconds`: credentials issued at or before it are dead. `last_iat_seconds`: the newest issue under this row.
-- Later issues are dated after both, so a second or a skewed instance lets nothing slip.
CREATE TABLE orgs (
    id                 BIGINT NOT NULL PRIMARY KEY,
    name               TEXT    NOT NULL,
    last_iat_seconds   BIGINT NOT NULL DEFAULT 0,
    not_before_seconds BIGINT,
    created_at         BIGINT NOT NULL
);

CREATE TABLE users (
    id             BIGINT NOT NULL PRIMARY KEY,
    email          TEXT    NOT NULL,
    name           TEXT    NOT NULL,
    password_hash  TEXT,
    created_at     BIGINT NOT NULL,
    deactivated_at BIGINT,
    CONSTRAINT users_email_key UNIQUE (email)
);

-- `version` grows with every change of role or state; issuing a credential compares it.
CREATE TABLE memberships (
    org_id             BIGINT NOT NULL REFERENCES orgs (id),
    user_id            BIGINT NOT NULL REFERENCES users (id),
    role               TEXT    NOT NULL CHECK (role IN ('owner', 'admin', 'member', 'viewer')),
    version            BIGINT NOT NULL DEFAULT 1,
    last_iat_seconds   BIGINT NOT NULL DEFAULT 0,
    not_before_seconds BIGINT,
    created_at         BIGINT NOT NULL,
    suspended_at       BIGINT,
    PRIMARY KEY (org_id, user_id)
);

CREATE TABLE workspaces (
    id                 BIGINT NOT NULL PRIMARY KEY,
    org_id             BIGINT NOT NULL REFERENCES orgs (id),
    name               TEXT    NOT NULL,
    last_iat_seconds   BIGINT NOT NULL DEFAULT 0,
    not_before_seconds BIGINT,
    created_at         BIGINT NOT NULL,
    archived_at        BIGINT,
    CONSTRAINT workspaces_org_name_key UNIQUE (org_id, name)
);

-- The id is the status index. Neither the key's text nor its nonce is here: nothing rebuilds a key from this row.
CREATE TABLE api_keys (
    id                 BIGINT NOT NULL PRIMARY KEY,
    org_id             BIGINT NOT NULL REFERENCES orgs (id),
    user_id            BIGINT NOT NULL REFERENCES users (id),
    workspace_id       BIGINT REFERENCES workspaces (id),
    name               TEXT    NOT NULL,
    name_lower         TEXT    NOT NULL,
    environment        TEXT    NOT NULL CHECK (environment IN ('live', 'test', 'dev')),
    scopes             BIGINT NOT NULL,
    masked             TEXT    NOT NULL,
    signing_key        BIGINT NOT NULL,
    issued_at_seconds  BIGINT NOT NULL,
    expires_at_seconds BIGINT,
    not_after_seconds  BIGINT,
    family             BIGINT NOT NULL,
    rotated_from       BIGINT REFERENCES api_keys (id),
    rotated_to         BIGINT REFERENCES api_keys (id),
    created_by         TEXT    NOT NULL,
    created_at         BIGINT NOT NULL,
    acted_at           BIGINT,
    revoked_at         BIGINT,
    revoked_reason     TEXT,
    revoked_by         TEXT,
    revoke_outbox      BIGINT
);
CREATE INDEX api_keys_org_created ON api_keys (org_id, created_at, id);
CREATE INDEX api_keys_family ON api_keys (family, created_at);

-- A create that was answered once. The digest tells a replay from a different request under the same key.
CREATE TABLE idempotency (
    org_id      BIGINT NOT NULL,
    user_id     BIGINT NOT NULL,
    operation   TEXT    NOT NULL,
    key_digest  BYTEA    NOT NULL,
    body_digest BYTEA    NOT NULL,
    resource    BIGINT NOT NULL,
    created_at  BIGINT NOT NULL,
    PRIMARY KEY (org_id, user_id, operation, key_digest)
);
CREATE INDEX idempotency_created ON idempotency (created_at);

-- Append-only. One row per state change, written in the transaction of the change.
CREATE TABLE audit (
    id          BIGINT NOT NULL PRIMARY KEY,
    at          BIGINT NOT NULL,
    org_id      BIGINT,
    actor       TEXT    NOT NULL,
    credential  TEXT,
    action      TEXT    NOT NULL,
    target      TEXT    NOT NULL,
    detail      TEXT    NOT NULL,
    request_id  TEXT
);
CREATE INDEX audit_org_at ON audit (org_id, at, id);
