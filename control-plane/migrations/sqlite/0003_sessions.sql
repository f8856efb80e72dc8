-- Sign-in sessions, and failed attempts to sign in. Times are Unix milliseconds unless the column says `_seconds`.

-- The digest is SHA-256 of what the cookie holds: nothing here signs anybody in. `sid` is the public name, which stays when
-- the cookie is rotated. `last_iat_seconds` is the newest token that was issued from the session: its end is dated past it.
CREATE TABLE sessions (
    digest           BLOB    NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
    sid              INTEGER NOT NULL,
    user_id          INTEGER NOT NULL REFERENCES users (id),
    org_id           INTEGER NOT NULL REFERENCES orgs (id),
    created_at       INTEGER NOT NULL,
    last_seen_at     INTEGER NOT NULL,
    auth_time        INTEGER NOT NULL,
    expires_at       INTEGER NOT NULL,
    ended_at         INTEGER,
    last_iat_seconds INTEGER NOT NULL DEFAULT 0,
    user_agent       TEXT    NOT NULL,
    address          TEXT    NOT NULL,
    CONSTRAINT sessions_sid_key UNIQUE (sid),
    FOREIGN KEY (org_id, user_id) REFERENCES memberships (org_id, user_id)
) STRICT;
CREATE INDEX sessions_user ON sessions (user_id, created_at) WHERE ended_at IS NULL;
CREATE INDEX sessions_expiry ON sessions (expires_at);

-- Attempts in the current window. The subject is SHA-256 of an account's or an address's name: an account need not exist.
CREATE TABLE sign_in_failures (
    subject           BLOB    NOT NULL PRIMARY KEY CHECK (length(subject) = 32),
    window_started_at INTEGER NOT NULL,
    failures          INTEGER NOT NULL
) STRICT;
CREATE INDEX sign_in_failures_window ON sign_in_failures (window_started_at);
