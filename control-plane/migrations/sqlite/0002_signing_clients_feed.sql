-- Signing keys, status indexes, OAuth clients, and the feed to the edge. Times are Unix milliseconds unless the column
-- says `_seconds`.

-- One row: the feed of this installation and its current epoch, and the policy that was published last. Whoever adds to
-- the chain or ends an epoch holds this row. `former_bound_ms` is the bound of the policies before: edges may go by it
-- until they have acknowledged the outbox row `policy_outbox`, and so long again.
CREATE TABLE feed_state (
    id                     INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    feed_id                BLOB    NOT NULL CHECK (length(feed_id) = 16),
    epoch                  INTEGER NOT NULL,
    policy_version         INTEGER NOT NULL,
    policy                 BLOB    NOT NULL,
    policy_bound_ms        INTEGER NOT NULL,
    former_bound_ms        INTEGER NOT NULL,
    policy_outbox          INTEGER,
    policy_acknowledged_at INTEGER,
    created_at             INTEGER NOT NULL
) STRICT;

-- Signed by the root: this feed key may sign this epoch.
CREATE TABLE feed_certificates (
    epoch       INTEGER NOT NULL,
    signing_key INTEGER NOT NULL,
    certificate BLOB    NOT NULL,
    created_at  INTEGER NOT NULL,
    PRIMARY KEY (epoch, signing_key)
) STRICT;

-- pending, active, retired, removed, in this order. `sealed` is NULL once the private half is destroyed.
-- `announced_by` is the outbox row that tells the edge; `acknowledged_at` when every edge was seen to have it.
CREATE TABLE signing_keys (
    id              INTEGER NOT NULL PRIMARY KEY,
    purpose         TEXT    NOT NULL CHECK (purpose IN ('root', 'feed', 'api_key', 'access_token')),
    public_key      BLOB    NOT NULL,
    sealed          BLOB,
    state           TEXT    NOT NULL CHECK (state IN ('pending', 'active', 'retired', 'removed')),
    announced_by    INTEGER,
    created_at      INTEGER NOT NULL,
    acknowledged_at INTEGER,
    activated_at    INTEGER,
    retired_at      INTEGER,
    removed_at      INTEGER
) STRICT;
CREATE UNIQUE INDEX signing_keys_one_active ON signing_keys (purpose) WHERE state = 'active';

-- Whole status lists of 2^20 indexes, each owned by one signing key, handed out in order and never twice. Once closed, a
-- list is retired when nothing in it lives: then the edge forgets all of it but that.
CREATE TABLE index_blocks (
    start        INTEGER NOT NULL PRIMARY KEY,
    length       INTEGER NOT NULL,
    signing_key  INTEGER NOT NULL,
    announced_by INTEGER,
    created_at   INTEGER NOT NULL,
    closed_at    INTEGER,
    retired_at   INTEGER
) STRICT;

-- Every index that was ever drawn. `expires_seconds` only for tokens; such rows go when they and their block have ended.
CREATE TABLE status_indexes (
    idx             INTEGER NOT NULL PRIMARY KEY,
    block           INTEGER NOT NULL REFERENCES index_blocks (start),
    drawn_at        INTEGER NOT NULL,
    expires_seconds INTEGER,
    revoked_at      INTEGER
) STRICT;
CREATE INDEX status_indexes_expiry ON status_indexes (expires_seconds) WHERE expires_seconds IS NOT NULL;

-- OAuth clients. Of the secret only its SHA-256 is here.
CREATE TABLE clients (
    id                 INTEGER NOT NULL PRIMARY KEY,
    org_id             INTEGER NOT NULL REFERENCES orgs (id),
    name               TEXT    NOT NULL,
    secret_digest      BLOB    NOT NULL CHECK (length(secret_digest) = 32),
    scopes             INTEGER NOT NULL,
    last_iat_seconds   INTEGER NOT NULL DEFAULT 0,
    not_before_seconds INTEGER,
    created_at         INTEGER NOT NULL,
    disabled_at        INTEGER
) STRICT;

-- What the edge must be told, written in the transaction of the change itself and stamped when it is framed.
CREATE TABLE outbox (
    id         INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    subject    TEXT    NOT NULL,
    entry      BLOB    NOT NULL,
    created_at INTEGER NOT NULL,
    epoch      INTEGER,
    seq        INTEGER
) STRICT;
CREATE INDEX outbox_unframed ON outbox (id) WHERE seq IS NULL;

-- The chain. A frame's digest outlives its bytes, so that the head of an edge can always be recognised.
CREATE TABLE feed_frames (
    epoch      INTEGER NOT NULL,
    seq        INTEGER NOT NULL,
    digest     BLOB    NOT NULL,
    envelope   BLOB,
    entries    INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (epoch, seq)
) STRICT;

-- The state at one seq, as one signed envelope cut into chunks of at most 1 MiB.
CREATE TABLE feed_snapshots (
    epoch      INTEGER NOT NULL,
    seq        INTEGER NOT NULL,
    chunk      INTEGER NOT NULL,
    bytes      BLOB    NOT NULL CHECK (length(bytes) <= 1048576),
    created_at INTEGER NOT NULL,
    PRIMARY KEY (epoch, seq, chunk)
) STRICT;

-- Heads of edges that were ahead of this database, and whose restrictions it has taken over since.
CREATE TABLE absorbed_heads (
    epoch       INTEGER NOT NULL,
    seq         INTEGER NOT NULL,
    digest      BLOB    NOT NULL,
    absorbed_at INTEGER NOT NULL,
    PRIMARY KEY (epoch, seq, digest)
) STRICT;

-- What each edge last said that it holds.
CREATE TABLE edge_peers (
    name     TEXT    NOT NULL PRIMARY KEY,
    epoch    INTEGER NOT NULL,
    seq      INTEGER NOT NULL,
    acked_at INTEGER NOT NULL
) STRICT;

-- One per revocation. Completed when every edge has acknowledged: a later request gets the same one.
CREATE TABLE receipts (
    subject      TEXT    NOT NULL PRIMARY KEY,
    revoked_at   INTEGER NOT NULL,
    outbox_id    INTEGER NOT NULL REFERENCES outbox (id),
    bound_ms     INTEGER,
    effective_at INTEGER,
    acknowledged TEXT
) STRICT;
