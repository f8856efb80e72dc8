-- Edges: what they authenticate with when they fetch, what is wrong with them, and how fast they are. Times are Unix
-- milliseconds unless a name ends in `_seconds`.

-- Keys of edges that fetch the feed. `digest` is SHA-256 of the text. `used_at` is kept to some seconds.
CREATE TABLE edge_keys (
    id         TEXT    NOT NULL PRIMARY KEY,
    edge       TEXT    NOT NULL,
    digest     BLOB    NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    used_at    INTEGER,
    revoked_at INTEGER
) STRICT;
CREATE INDEX edge_keys_edge ON edge_keys (edge);

-- What is wrong at the moment. `region` is empty for an edge as a whole.
CREATE TABLE edge_alerts (
    edge   TEXT    NOT NULL,
    region TEXT    NOT NULL,
    kind   TEXT    NOT NULL,
    since  INTEGER NOT NULL,
    detail TEXT    NOT NULL,
    PRIMARY KEY (edge, region, kind)
) STRICT;

-- Indexes of canaries, which no key and no grant has. Their rows go with those of `status_indexes`.
CREATE TABLE canaries (
    idx             INTEGER NOT NULL PRIMARY KEY,
    made_at         INTEGER NOT NULL,
    expires_seconds INTEGER NOT NULL,
    revoked_at      INTEGER
) STRICT;

-- What one instance does at a time.
CREATE TABLE leases (
    name       TEXT    NOT NULL PRIMARY KEY,
    holder     TEXT    NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
