-- People's OAuth: what clients may ask for, consents, codes, grants and their refresh tokens. Times are Unix milliseconds
-- unless the column says `_seconds`. Of codes and refresh tokens only SHA-256 digests are here.

-- A public client has no secret: its `secret_digest` is all zeros and never compared. `redirect_uris` is a JSON list.
ALTER TABLE clients ADD COLUMN kind TEXT NOT NULL DEFAULT 'confidential' CHECK (kind IN ('public', 'confidential'));
ALTER TABLE clients ADD COLUMN redirect_uris TEXT NOT NULL DEFAULT '[]';
ALTER TABLE clients ADD COLUMN refresh_grace_seconds INTEGER NOT NULL DEFAULT 30
    CHECK (refresh_grace_seconds BETWEEN 0 AND 300);

-- What a person has agreed to, so that they are not asked again for the same or less.
CREATE TABLE consents (
    user_id    INTEGER NOT NULL REFERENCES users (id),
    org_id     INTEGER NOT NULL REFERENCES orgs (id),
    client_id  INTEGER NOT NULL REFERENCES clients (id),
    scopes     INTEGER NOT NULL,
    identity   INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, org_id, client_id)
) STRICT;

-- One consent = one family of refresh tokens. `status_index` is the one that its next access token carries;
-- `expires_seconds` is fixed at the start, `idle_expires_seconds` moves with each refresh.
CREATE TABLE grants (
    id                   INTEGER NOT NULL PRIMARY KEY,
    client_id            INTEGER NOT NULL REFERENCES clients (id),
    user_id              INTEGER NOT NULL REFERENCES users (id),
    org_id               INTEGER NOT NULL REFERENCES orgs (id),
    scopes               INTEGER NOT NULL,
    identity             INTEGER NOT NULL,
    resource             TEXT    NOT NULL,
    session              TEXT,
    auth_time_seconds    INTEGER NOT NULL,
    issued_at_seconds    INTEGER NOT NULL,
    status_index         INTEGER NOT NULL,
    signing_key          INTEGER NOT NULL,
    version              INTEGER NOT NULL DEFAULT 1,
    idle_expires_seconds INTEGER NOT NULL,
    expires_seconds      INTEGER NOT NULL,
    created_at           INTEGER NOT NULL,
    acted_at             INTEGER NOT NULL,
    revoked_at           INTEGER,
    revoked_reason       TEXT
) STRICT;
CREATE INDEX grants_org_user ON grants (org_id, user_id);
CREATE INDEX grants_session ON grants (session) WHERE session IS NOT NULL;
CREATE INDEX grants_expiry ON grants (expires_seconds);

-- Every index that a grant's tokens ever carried: more than one where the token key was replaced during its life.
CREATE TABLE grant_indexes (
    idx      INTEGER NOT NULL PRIMARY KEY,
    grant_id INTEGER NOT NULL REFERENCES grants (id)
) STRICT;
CREATE INDEX grant_indexes_grant ON grant_indexes (grant_id);

CREATE TABLE authorization_codes (
    digest            BLOB    NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
    client_id         INTEGER NOT NULL REFERENCES clients (id),
    user_id           INTEGER NOT NULL REFERENCES users (id),
    org_id            INTEGER NOT NULL REFERENCES orgs (id),
    scopes            INTEGER NOT NULL,
    identity          INTEGER NOT NULL,
    redirect_uri      TEXT    NOT NULL,
    challenge         TEXT    NOT NULL,
    nonce             TEXT,
    resource          TEXT    NOT NULL,
    session           TEXT,
    auth_time_seconds INTEGER NOT NULL,
    created_at        INTEGER NOT NULL,
    expires_at        INTEGER NOT NULL,
    used_at           INTEGER,
    grant_id          INTEGER REFERENCES grants (id)
) STRICT;
CREATE INDEX authorization_codes_created ON authorization_codes (created_at);

-- `sealed` is the answer that a token was exchanged for, under a key that only the token itself gives; dropped at
-- `sealed_until`.
CREATE TABLE refresh_tokens (
    digest       BLOB    NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
    grant_id     INTEGER NOT NULL REFERENCES grants (id),
    generation   INTEGER NOT NULL,
    predecessor  BLOB,
    created_at   INTEGER NOT NULL,
    used_at      INTEGER,
    replaced_at  INTEGER,
    sealed       BLOB,
    sealed_until INTEGER
) STRICT;
CREATE INDEX refresh_tokens_grant ON refresh_tokens (grant_id);
CREATE INDEX refresh_tokens_predecessor ON refresh_tokens (predecessor) WHERE predecessor IS NOT NULL;
CREATE INDEX refresh_tokens_sealed ON refresh_tokens (sealed_until) WHERE sealed_until IS NOT NULL;
