-- Requests that take several steps: authorization requests that a client pushed, devices that wait for a person, and indexes
-- that exchanged tokens share with the token they came from. Times are Unix milliseconds unless the column says `_seconds`.
-- Of request URIs, device codes and user codes only SHA-256 digests are here.

-- `client` is a `client_id`. `parameters` is the request, form-encoded. `browser` is the first that opened it: after that it
-- is of use to no other, and `expires_at` leaves the person the time to sign in.
CREATE TABLE pushed_requests (
    digest     BLOB    NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
    client     TEXT    NOT NULL,
    parameters TEXT    NOT NULL,
    browser    BLOB             CHECK (length(browser) = 32),
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at    INTEGER
) STRICT;
CREATE INDEX pushed_requests_expiry ON pushed_requests (expires_at);

-- `client` is a `client_id`. `decided_at` is when a person answered; without a `user_id` the answer was no. `scopes` and
-- `identity` are what was asked for, and from then on what was agreed to. `interval_seconds` grows when it is not kept.
CREATE TABLE device_codes (
    digest            BLOB    NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
    user_code         BLOB    NOT NULL CHECK (length(user_code) = 32),
    client            TEXT    NOT NULL,
    scopes            INTEGER NOT NULL,
    identity          INTEGER NOT NULL,
    resource          TEXT    NOT NULL,
    interval_seconds  INTEGER NOT NULL,
    polled_at         INTEGER,
    created_at        INTEGER NOT NULL,
    expires_at        INTEGER NOT NULL,
    decided_at        INTEGER,
    user_id           INTEGER REFERENCES users (id),
    org_id            INTEGER REFERENCES orgs (id),
    session           TEXT,
    auth_time_seconds INTEGER,
    used_at           INTEGER,
    CONSTRAINT device_codes_user_code_key UNIQUE (user_code)
) STRICT;
CREATE INDEX device_codes_expiry ON device_codes (expires_at);

-- Exchanged tokens name the client that asked for them, not the one whose token they came from: when that one is disabled,
-- these indexes end with it.
CREATE TABLE exchanged_indexes (
    idx             INTEGER NOT NULL PRIMARY KEY,
    client          TEXT    NOT NULL,
    expires_seconds INTEGER NOT NULL
) STRICT;
CREATE INDEX exchanged_indexes_client ON exchanged_indexes (client);
