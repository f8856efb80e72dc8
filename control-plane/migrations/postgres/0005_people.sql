-- Mail that waits to be sent, and what its links stand for. Times are Unix milliseconds. Of a link only the SHA-256 of its
-- secret is here; the mail that carries the secret is sealed under the master key and goes when it was sent.

-- Which organisation a person used last: the next sign-in begins there.
ALTER TABLE memberships ADD COLUMN last_used_at BIGINT;

-- `sealed` holds recipient, subject and text. `shown_at`: only in the outbox of development, where it stays for a day.
CREATE TABLE mails (
    id         BIGINT  NOT NULL PRIMARY KEY,
    kind       TEXT    NOT NULL,
    sealed     BYTEA   NOT NULL,
    created_at BIGINT  NOT NULL,
    expires_at BIGINT  NOT NULL,
    due_at     BIGINT  NOT NULL,
    attempts   BIGINT  NOT NULL DEFAULT 0,
    shown_at   BIGINT
);
CREATE INDEX mails_due ON mails (due_at) WHERE shown_at IS NULL;

-- A sign-up that waits for its confirmation. No account exists before; `password_hash` goes when one does.
CREATE TABLE sign_ups (
    digest        BYTEA   NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
    email         TEXT    NOT NULL,
    name          TEXT    NOT NULL,
    org_name      TEXT    NOT NULL,
    password_hash TEXT    NOT NULL,
    created_at    BIGINT  NOT NULL,
    expires_at    BIGINT  NOT NULL,
    used_at       BIGINT
);
CREATE INDEX sign_ups_expiry ON sign_ups (expires_at);

-- Without a user: somebody asked for an address that has no account, which must cost the same.
CREATE TABLE password_resets (
    digest     BYTEA   NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
    user_id    BIGINT  REFERENCES users (id),
    created_at BIGINT  NOT NULL,
    expires_at BIGINT  NOT NULL,
    used_at    BIGINT
);
CREATE INDEX password_resets_user ON password_resets (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX password_resets_expiry ON password_resets (expires_at);

CREATE TABLE invitations (
    id          BIGINT  NOT NULL PRIMARY KEY,
    digest      BYTEA   NOT NULL CHECK (length(digest) = 32),
    org_id      BIGINT  NOT NULL REFERENCES orgs (id),
    email       TEXT    NOT NULL,
    role        TEXT    NOT NULL CHECK (role IN ('owner', 'admin', 'member', 'viewer')),
    invited_by  BIGINT  NOT NULL REFERENCES users (id),
    created_at  BIGINT  NOT NULL,
    expires_at  BIGINT  NOT NULL,
    accepted_at BIGINT,
    accepted_by BIGINT  REFERENCES users (id),
    revoked_at  BIGINT,
    CONSTRAINT invitations_digest_key UNIQUE (digest)
);
CREATE INDEX invitations_org ON invitations (org_id, created_at, id);
