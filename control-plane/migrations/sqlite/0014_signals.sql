-- What others tell us and what we tell others: leaks, security events, status lists, back-channel logout. Times are Unix
-- milliseconds unless the column says `_seconds`.

-- Whom a token that stands alone (`client_credentials`, an identity assertion) was issued to and when. The index of a grant or
-- an API key has them there; NULL for tokens from before this column, which live an hour.
ALTER TABLE status_indexes ADD COLUMN org_id INTEGER;
ALTER TABLE status_indexes ADD COLUMN user_id INTEGER;
ALTER TABLE status_indexes ADD COLUMN client_id INTEGER;
ALTER TABLE status_indexes ADD COLUMN issued_seconds INTEGER;

-- OpenID Connect Back-Channel Logout 1.0 §2.2.
ALTER TABLE clients ADD COLUMN backchannel_logout_uri TEXT;
ALTER TABLE clients ADD COLUMN backchannel_logout_session_required INTEGER NOT NULL DEFAULT 0
    CHECK (backchannel_logout_session_required IN (0, 1));

-- Logout tokens that wait to be delivered, one per client and session that ended. They are signed when they are sent.
CREATE TABLE logouts (
    id         BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 32),
    client_id  INTEGER NOT NULL REFERENCES clients (id),
    org_id     INTEGER NOT NULL REFERENCES orgs (id),
    user_id    INTEGER NOT NULL REFERENCES users (id),
    session    TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    due_at     INTEGER NOT NULL,
    attempts   INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX logouts_due ON logouts (due_at);
