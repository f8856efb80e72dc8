-- Usage: what the edges counted. Times are Unix milliseconds; `hour` is Unix hours.

-- Isolates that count, by edge. Of their windows all up to `known` are applied but those in `usage_missing`. `ends_at` is
-- when the newest applied one closed, by the isolate's clock; `heard_at` is by ours.
CREATE TABLE usage_isolates (
    edge     TEXT    NOT NULL,
    isolate  BLOB    NOT NULL CHECK (length(isolate) = 16),
    known    INTEGER NOT NULL,
    ends_at  INTEGER NOT NULL,
    heard_at INTEGER NOT NULL,
    PRIMARY KEY (edge, isolate)
) STRICT;
CREATE INDEX usage_isolates_heard ON usage_isolates (heard_at);

-- Windows that were announced, or skipped, and have not come: from `first` to `last`. `from_at` is the earliest moment that
-- may be in them.
CREATE TABLE usage_missing (
    edge     TEXT    NOT NULL,
    isolate  BLOB    NOT NULL,
    first    INTEGER NOT NULL,
    last     INTEGER NOT NULL,
    from_at  INTEGER NOT NULL,
    heard_at INTEGER NOT NULL,
    PRIMARY KEY (edge, isolate, first)
) STRICT;
CREATE INDEX usage_missing_from ON usage_missing (from_at);

-- Requests by the hour. `org_id` 0 and an empty `credential`: no credential was proven. An empty `class`: no route matched.
CREATE TABLE usage_hours (
    org_id     INTEGER NOT NULL,
    hour       INTEGER NOT NULL,
    credential TEXT    NOT NULL,
    class      TEXT    NOT NULL,
    reason     TEXT    NOT NULL,
    country    TEXT    NOT NULL,
    colo       TEXT    NOT NULL,
    requests   INTEGER NOT NULL,
    last_at    INTEGER NOT NULL,
    PRIMARY KEY (org_id, hour, credential, class, reason, country, colo)
) STRICT;
CREATE INDEX usage_hours_hour ON usage_hours (hour);
CREATE INDEX usage_hours_credential ON usage_hours (org_id, credential, hour);

-- What became of a credential so far. `requests` were let in, `refused` were not; `since_rotation` were let in after another
-- key had taken over.
CREATE TABLE usage_credentials (
    org_id         INTEGER NOT NULL,
    credential     TEXT    NOT NULL,
    requests       INTEGER NOT NULL,
    refused        INTEGER NOT NULL,
    since_rotation INTEGER NOT NULL,
    last_used_at   INTEGER,
    last_refused_at INTEGER,
    heard_at       INTEGER NOT NULL,
    PRIMARY KEY (org_id, credential)
) STRICT;
CREATE INDEX usage_credentials_heard ON usage_credentials (heard_at);
