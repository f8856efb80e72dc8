-- Signing keys, status indexes, OAuth clients, and the feed to the edge. Times are Unix milliseconds unless the column
-- says `_seconds`.

-- One row: the feed of this installation and its current epoch, and the policy that was published last. Whoever adds to
-- the chain or ends an epoch holds this row. `former_bound_ms` is the bound of the policies before: edges may go by it
-- until they have acknowledged the outbox row `policy_outbox`, and so long again.
CREATE TABLE feed_state (
    id                     BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    feed_id                BYTEA   NOT NULL CHECK (length(feed_id) = 16),
    epoch                  BIGINT NOT NULL,
    policy_version         BIGINT NOT NULL,
    policy                 BYTEA   NOT NULL,
    policy_bound_ms        BIGINT NOT NULL,
    former_bound_ms        BIGINT NOT NULL,
    policy_outbox          BIGINT,
    policy_acknowledged_at BIGINT,
    created_at             BIGINT NOT NULL
);

-- Signed by the root: this feed key may sign this epoch.
CREATE TABLE feed_certificates (
    epoch       BIGINT NOT NULL,
    signing_key BIGINT NOT NULL,
    certificate BYTEA   NOT NULL,
    created_at  BIGINT NOT NULL,
    PRIMARY KEY (epoch, signing_key)
);

-- pending, active, retired, removed, in this order. `sealed` is NULL once the private half is destroyed.
-- `announced_by` is the outbox row that tells the edge; `acknowledged_at` when every edge was seen to have it.
CREATE TABLE signing_keys (
    id              BIGINT NOT NULL PRIMARY KEY,
    purpose         TEXT    NOT NULL CHECK (purpose IN ('root', 'feed', 'api_key', 'access_token')),
    public_key      BYTEA   NOT NULL,
    sealed          BYTEA,
    state           TEXT    NOT NULL CHECK (state IN ('pending', 'active', 'retired', 'removed')),
    announced_by    BIGINT,
    created_at      BIGINT NOT NULL,
    acknowledged_at BIGINT,
    activated_at    BIGINT,
    retired_at      BIGINT,
    removed_at      BIGINT
);
CREATE UNIQUE INDEX signing_keys_one_active ON signing_keys (purpose) WHERE state = 'active';

-- Whole status lists of 2^20 indexes, each owned by one signing key, handed out in order and never twice. Once closed, a
-- list is retired when nothing in it lives: then the edge forgets all of it but that.
CREATE TABLE index_blocks (
    start        BIGINT NOT NULL PRIMARY KEY,
    length       BIGINT NOT NULL,
    signing_key  BIGINT NOT NULL,
    announced_by BIGINT,
    created_at   BIGINT NOT NULL,
    closed_at    BIGINT,
    retired_at   BIGINT
);

-- Every index that was ever drawn. `expires_seconds` only for tokens; such rows go when they and their block have ended.
CREATE TABLE status_indexes (
    idx             BIGINT NOT NULL PRIMARY KEY,
    block           BIGINT NOT NULL REFERENCES index_blocks (start),
    drawn_at        BIGINT NOT NULL,
    expires_seconds BIGINT,
    revoked_at      BIGINT
);
CREATE INDEX status_indexes_expiry ON status_indexes (expires_seconds) WHERE expires_seconds IS NOT NULL;

-- OAuth clients. Of the secret only its SHA-256 is here.
CREATE TABLE clients (
    id                 BIGINT NOT NULL PRIMARY KEY,
    org_id             BIGINT NOT NULL REFERENCES orgs (id),
    name               TEXT    NOT NULL,
    secret_digest      BYTEA   NOT NULL CHECK (length(secret_digest) = 32),
    scopes             BIGINT NOT NULL,
    last_iat_seconds   BIGINT NOT NULL DEFAULT 0,
    not_before_seconds BIGINT,
    created_at         BIGINT NOT NULL,
    disabled_at        BIGINT
);

-- What the edge must be told, written in the transaction of the change itself and stamped when it is framed.
CREATE TABLE outbox (
    id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subject    TEXT    NOT NULL,
    entry      BYTEA   NOT NULL,
    created_at BIGINT NOT NULL,
    epoch      BIGINT,
    seq        BIGINT
);
CREATE INDEX outbox_unframed ON outbox (id) WHERE seq IS NULL;

-- The chain. A frame's digest outlives its bytes, so that the head of an edge can always be recognised.
CREATE TABLE feed_frames (
    epoch      BIGINT NOT NULL,
    seq        BIGINT NOT NULL,
    digest     BYTEA   NOT NULL,
    envelope   BYTEA,
    entries    BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (epoch, seq)
);

-- The state at one seq, as one signed envelope cut into chunks of at most 1 MiB.
CREATE TABLE feed_snapshots (
    epoch      BIGINT NOT NULL,
    seq        BIGINT NOT NULL,
    chunk      BIGINT NOT NULL,
    bytes      BYTEA   NOT NULL CHECK (length(bytes) <= 1048576),
    created_at BIGINT NOT NULL,
    PRIMARY KEY (epoch, seq, chunk)
);

-- Heads of edges that were ahead of this database, and whose restrictions it has taken over since.
CREATE TABLE absorbed_heads (
    epoch       BIGINT NOT NULL,
    seq         BIGINT NOT NULL,
    digest      BYTEA   NOT NULL,
    absorbed_at BIGINT NOT NULL,
    PRIMARY KEY (epoch, seq, digest)
);

-- What each edge last said that it holds.
CREATE TABLE edge_peers (
    name     TEXT    NOT NULL PRIMARY KEY,
    epoch    BIGINT NOT NULL,
    seq      BIGINT NOT NULL,
    acked_at BIGINT NOT NULL
);

-- One per revocation. Completed when every edge has acknowledged: a later request gets the same one.
CREATE TABLE receipts (
    subject      TEXT    NOT NULL PRIMARY KEY,
    revoked_at   BIGINT NOT NULL,
    outbox_id    BIGINT NOT NULL REFERENCES outbox (id),
    bound_ms     BIGINT,
    effective_at BIGINT,
    acknowledged TEXT
);
