-- Organisations and what they own, API keys, idempotency, audit. Times are Unix milliseconds unless the column says
-- `_seconds`. Status is told by nullable times, never by booleans. Ids are numbers below 2^53.

-- One row: this database. It publishes only where a file beside it names the same incarnation, which a copy elsewhere lacks
-- until it takes over.
CREATE TABLE installation (
    id          INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    incarnation BLOB    NOT NULL CHECK (length(incarnation) = 16),
    created_at  INTEGER NOT NULL
) STRICT;

-- `not_before_seconds`: credentials issued at or before it are dead. `last_iat_seconds`: the newest issue under this row.
-- Later issues are dated after both, so a second or a skewed instance lets nothing slip.
CREATE TABLE orgs (
    id                 INTEGER NOT NULL PRIMARY KEY,
    name               TEXT    NOT NULL,
    last_iat_seconds   INTEGER NOT NULL DEFAULT 0,
    not_before_seconds INTEGER,
    created_at         INTEGER NOT NULL
) STRICT;

CREATE TABLE users (
    id             INTEGER NOT NULL PRIMARY KEY,
    email          TEXT    NOT NULL,
    name           TEXT    NOT NULL,
    password_hash  TEXT,
    created_at     INTEGER NOT NULL,
    deactivated_at INTEGER,
    CONSTRAINT users_email_key UNIQUE (email)
) STRICT;

-- `version` grows with every change of role or state; issuing a credential compares it.
CREATE TABLE memberships (
    org_id             INTEGER NOT NULL REFERENCES orgs (id),
    user_id            INTEGER NOT NULL REFERENCES users (id),
    role               TEXT    NOT NULL CHECK (role IN ('owner', 'admin', 'member', 'viewer')),
    version            INTEGER NOT NULL DEFAULT 1,
    last_iat_seconds   INTEGER NOT NULL DEFAULT 0,
    not_before_seconds INTEGER,
    created_at         INTEGER NOT NULL,
    suspended_at       INTEGER,
    PRIMARY KEY (org_id, user_id)
) STRICT;

CREATE TABLE workspaces (
    id                 INTEGER NOT NULL PRIMARY KEY,
    org_id             INTEGER NOT NULL REFERENCES orgs (id),
    name               TEXT    NOT NULL,
    last_iat_seconds   INTEGER NOT NULL DEFAULT 0,
    not_before_seconds INTEGER,
    created_at         INTEGER NOT NULL,
    archived_at        INTEGER,
    CONSTRAINT workspaces_org_name_key UNIQUE (org_id, name)
) STRICT;

-- The id is the status index. Neither the key's text nor its nonce is here: nothing rebuilds a key from this row.
CREATE TABLE api_keys (
    id                 INTEGER NOT NULL PRIMARY KEY,
    org_id             INTEGER NOT NULL REFERENCES orgs (id),
    user_id            INTEGER NOT NULL REFERENCES users (id),
    workspace_id       INTEGER REFERENCES workspaces (id),
    name               TEXT    NOT NULL,
    name_lower         TEXT    NOT NULL,
    environment        TEXT    NOT NULL CHECK (environment IN ('live', 'test', 'dev')),
    scopes             INTEGER NOT NULL,
    masked             TEXT    NOT NULL,
    signing_key        INTEGER NOT NULL,
    issued_at_seconds  INTEGER NOT NULL,
    expires_at_seconds INTEGER,
    not_after_seconds  INTEGER,
    family             INTEGER NOT NULL,
    rotated_from       INTEGER REFERENCES api_keys (id),
    rotated_to         INTEGER REFERENCES api_keys (id),
    created_by         TEXT    NOT NULL,
    created_at         INTEGER NOT NULL,
    acted_at           INTEGER,
    revoked_at         INTEGER,
    revoked_reason     TEXT,
    revoked_by         TEXT,
    revoke_outbox      INTEGER
) STRICT;
CREATE INDEX api_keys_org_created ON api_keys (org_id, created_at, id);
CREATE INDEX api_keys_family ON api_keys (family, created_at);

-- A create that was answered once. The digest tells a replay from a different request under the same key.
CREATE TABLE idempotency (
    org_id      INTEGER NOT NULL,
    user_id     INTEGER NOT NULL,
    operation   TEXT    NOT NULL,
    key_digest  BLOB    NOT NULL,
    body_digest BLOB    NOT NULL,
    resource    INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    PRIMARY KEY (org_id, user_id, operation, key_digest)
) STRICT;
CREATE INDEX idempotency_created ON idempotency (created_at);

-- Append-only. One row per state change, written in the transaction of the change.
CREATE TABLE audit (
    id          INTEGER NOT NULL PRIMARY KEY,
    at          INTEGER NOT NULL,
    org_id      INTEGER,
    actor       TEXT    NOT NULL,
    credential  TEXT,
    action      TEXT    NOT NULL,
    target      TEXT    NOT NULL,
    detail      TEXT    NOT NULL,
    request_id  TEXT
) STRICT;
CREATE INDEX audit_org_at ON audit (org_id, at, id);
