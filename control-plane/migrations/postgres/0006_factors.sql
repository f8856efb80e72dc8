-- Second factors and passkeys. Times are Unix milliseconds. No row here signs anybody in: a TOTP secret is sealed under the
-- master key, of recovery codes and cookies there are SHA-256 digests, and of a passkey its public half.

-- How the session's user proved who they are: values of `amr` (RFC 8176), joined by a space.
ALTER TABLE sessions ADD COLUMN methods TEXT NOT NULL DEFAULT 'pwd';

-- One authenticator app per person. `last_step` is the newest time step whose code was accepted: it and those before it
-- are used up (RFC 6238 §5.2).
CREATE TABLE totp (
    user_id    BIGINT  NOT NULL PRIMARY KEY REFERENCES users (id),
    sealed     BYTEA   NOT NULL,
    last_step  BIGINT  NOT NULL,
    created_at BIGINT  NOT NULL
);

CREATE TABLE recovery_codes (
    user_id BIGINT  NOT NULL REFERENCES users (id),
    digest  BYTEA   NOT NULL CHECK (length(digest) = 32),
    used_at BIGINT ,
    PRIMARY KEY (user_id, digest)
);

-- Somebody whose password was right and who has not shown their second factor yet. The digest is that of a cookie.
CREATE TABLE pending_sign_ins (
    digest          BYTEA   NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
    user_id         BIGINT  NOT NULL REFERENCES users (id),
    org_id          BIGINT  NOT NULL REFERENCES orgs (id),
    password_digest BYTEA   NOT NULL CHECK (length(password_digest) = 32),
    expires_at      BIGINT  NOT NULL
);
CREATE INDEX pending_sign_ins_expiry ON pending_sign_ins (expires_at);

-- The digest is SHA-256 of the credential id; `credential` is what webauthn-rs keeps of it, as JSON.
CREATE TABLE passkeys (
    digest       BYTEA   NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
    user_id      BIGINT  NOT NULL REFERENCES users (id),
    name         TEXT    NOT NULL,
    credential   TEXT    NOT NULL,
    counter      BIGINT  NOT NULL,
    created_at   BIGINT  NOT NULL,
    last_used_at BIGINT 
);
CREATE INDEX passkeys_user ON passkeys (user_id, created_at);

-- Challenges that were answered. They are kept until they would have expired: each is answered once.
CREATE TABLE spent_challenges (
    digest     BYTEA   NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
    expires_at BIGINT  NOT NULL
);
CREATE INDEX spent_challenges_expiry ON spent_challenges (expires_at);
