-- More ways to revoke. Times are Unix milliseconds unless the column says `_seconds`.

-- One row for each revocation of more than one credential. `subject` is what was revoked, in one text, so that a repetition
-- finds it; `filter` is the JSON of a revocation of all that match. Its receipt is that of the subject `rev_…` of the id.
CREATE TABLE revocations (
    id         BIGINT NOT NULL PRIMARY KEY,
    org_id     BIGINT,
    subject    TEXT    NOT NULL,
    reason     TEXT    NOT NULL,
    comment    TEXT,
    filter     TEXT,
    revoked_by TEXT    NOT NULL,
    revoked_at BIGINT NOT NULL,
    outbox_id  BIGINT NOT NULL REFERENCES outbox (id),
    keys       BIGINT NOT NULL,
    grants     BIGINT NOT NULL,
    tokens     BIGINT NOT NULL,
    sessions   BIGINT NOT NULL
);
CREATE INDEX revocations_subject ON revocations (subject, revoked_at, id);

-- Which of them ended a credential: that is how all of them are found again.
ALTER TABLE api_keys ADD COLUMN revoked_in BIGINT;
CREATE INDEX api_keys_revoked_in ON api_keys (revoked_in, id) WHERE revoked_in IS NOT NULL;
ALTER TABLE grants ADD COLUMN revoked_in BIGINT;
CREATE INDEX grants_revoked_in ON grants (revoked_in, id) WHERE revoked_in IS NOT NULL;

-- The most that a key can do for now. `ceiling_version` is the version under which the edge was told last.
ALTER TABLE api_keys ADD COLUMN quarantine TEXT CHECK (quarantine IN ('read', 'none'));
ALTER TABLE api_keys ADD COLUMN quarantined_at BIGINT;
ALTER TABLE api_keys ADD COLUMN ceiling_version BIGINT NOT NULL DEFAULT 0;

-- Everything that this installation issued until then is dead. An organisation that is made later starts from here.
ALTER TABLE installation ADD COLUMN issuer_not_before_seconds BIGINT;

-- Identity providers whose assertions were taken: what they vouched for until `not_before_seconds` is dead.
CREATE TABLE foreign_issuers (
    issuer             TEXT    NOT NULL PRIMARY KEY,
    org_id             BIGINT NOT NULL,
    last_iat_seconds   BIGINT NOT NULL,
    not_before_seconds BIGINT
);

-- Access tokens that came of an assertion: nothing else says whose they are. Kept until they have expired.
CREATE TABLE asserted_tokens (
    idx             BIGINT NOT NULL PRIMARY KEY,
    org_id          BIGINT NOT NULL REFERENCES orgs (id),
    user_id         BIGINT NOT NULL REFERENCES users (id),
    client_id       BIGINT NOT NULL REFERENCES clients (id),
    issuer          TEXT    NOT NULL,
    scopes          BIGINT NOT NULL,
    created_at      BIGINT NOT NULL,
    expires_seconds BIGINT NOT NULL
);
CREATE INDEX asserted_tokens_org ON asserted_tokens (org_id);
CREATE INDEX asserted_tokens_expiry ON asserted_tokens (expires_seconds);
