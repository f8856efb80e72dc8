-- Sign-in sessions, and failed attempts to sign in. Times are Unix milliseconds unless the column says `_seconds`.

-- The digest is SHA-256 of what the cookie holds: nothing here signs anybody in. `sid` is the public name, which stays when
-- the cookie is rotated. `last_iat_seconds` is the newest token that was issued from the session: its end is dated past it.
CREATE TABLE sessions (
    digest           BYTEA   NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
    sid              BIGINT  NOT NULL,
    user_id          BIGINT  NOT NULL REFERENCES users (id),
    org_id           BIGINT  NOT NULL REFERENCES orgs (id),
    created_at       BIGINT  NOT NULL,
    last_seen_at     BIGINT  NOT NULL,
    auth_time        BIGINT  NOT NULL,
    expires_at       BIGINT  NOT NULL,
    ended_at         BIGINT ,
    last_iat_seconds BIGINT  NOT NULL DEFAULT 0,
    user_agent       TEXT    NOT NULL,
    address          TEXT    NOT NULL,
    CONSTRAINT sessions_sid_key UNIQUE (sid),
    FOREIGN KEY (org_id, user_id) REFERENCES memberships (org_id, user_id)
);
CREATE INDEX sessions_user ON sessions (user_id, created_at) WHERE ended_at IS NULL;
CREATE INDEX sessions_expiry ON sessions (expires_at);

-- Attempts in the current window. The subject is SHA-256 of an account's or an address's name: an account need not exist.
CREATE TABLE sign_in_failures (
    subject           BYTEA   NOT NULL PRIMARY KEY CHECK (length(subject) = 32),
    window_started_at BIGINT  NOT NULL,
    failures          BIGINT  NOT NULL
);
CREATE INDEX sign_in_failures_window ON sign_in_failures (window_started_at);
