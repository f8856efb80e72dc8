-- Other issuers that organisations trust, and people of theirs that are blocked. Times are Unix milliseconds.

-- One row per issuer for ever: the version counts on when an issuer that was removed is trusted again, also by another
-- organisation. `entry` is what the edge was told last: organisation, audiences, scopes, claims, keys.
CREATE TABLE trusted_issuers (
    issuer       TEXT    NOT NULL PRIMARY KEY,
    id           BIGINT NOT NULL UNIQUE,
    org_id       BIGINT NOT NULL REFERENCES orgs (id),
    version      BIGINT NOT NULL,
    entry        BYTEA    NOT NULL,
    algorithms   TEXT    NOT NULL,
    jwks_uri     TEXT,
    keys_uri     TEXT,
    created_by   TEXT    NOT NULL,
    created_at   BIGINT NOT NULL,
    updated_at   BIGINT NOT NULL,
    removed_at   BIGINT,
    -- When its keys were looked for last, found last, and are to be looked for again.
    attempted_at BIGINT NOT NULL,
    refreshed_at BIGINT NOT NULL,
    due_at       BIGINT NOT NULL,
    failures     BIGINT NOT NULL DEFAULT 0,
    failure      TEXT
);
CREATE INDEX trusted_issuers_org ON trusted_issuers (org_id);
CREATE INDEX trusted_issuers_due ON trusted_issuers (due_at);

-- What an issuer calls people, where they are or were blocked here.
CREATE TABLE issuer_subjects (
    issuer     TEXT    NOT NULL REFERENCES trusted_issuers (issuer),
    subject    TEXT    NOT NULL,
    version    BIGINT NOT NULL,
    blocked_at BIGINT,
    PRIMARY KEY (issuer, subject)
);
