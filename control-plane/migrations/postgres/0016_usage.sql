-- Usage: what the edges counted. Times are Unix milliseconds; `hour` is Unix hours.

-- Isolates that count, by edge. Of their windows all up to `known` are applied but those in `usage_missing`. `ends_at` is
-- when the newest applied one closed, by the isolate's clock; `heard_at` is by ours.
CREATE TABLE usage_isolates (
    edge     TEXT    NOT NULL,
    isolate  BYTEA   NOT NULL CHECK (length(isolate) = 16),
    known    BIGINT NOT NULL,
    ends_at  BIGINT NOT NULL,
    heard_at BIGINT NOT NULL,
    PRIMARY KEY (edge, isolate)
);
CREATE INDEX usage_isolates_heard ON usage_isolates (heard_at);

-- Windows that were announced, or skipped, and have not come: from `first` to `last`. `from_at` is the earliest moment that
-- may be in them.
CREATE TABLE usage_missing (
    edge     TEXT    NOT NULL,
    isolate  BYTEA   NOT NULL,
    first    BIGINT NOT NULL,
    last     BIGINT NOT NULL,
    from_at  BIGINT NOT NULL,
    heard_at BIGINT NOT NULL,
    PRIMARY KEY (edge, isolate, first)
);
CREATE INDEX usage_missing_from ON usage_missing (from_at);

-- Requests by the hour. `org_id` 0 and an empty `credential`: no credential was proven. An empty `class`: no route matched.
CREATE TABLE usage_hours (
    org_id     BIGINT NOT NULL,
    hour       BIGINT NOT NULL,
    credential TEXT    NOT NULL,
    class      TEXT    NOT NULL,
    reason     TEXT    NOT NULL,
    country    TEXT    NOT NULL,
    colo       TEXT    NOT NULL,
    requests   BIGINT NOT NULL,
    last_at    BIGINT NOT NULL,
    PRIMARY KEY (org_id, hour, credential, class, reason, country, colo)
);
CREATE INDEX usage_hours_hour ON usage_hours (hour);
CREATE INDEX usage_hours_credential ON usage_hours (org_id, credential, hour);

-- What became of a credential so far. `requests` were let in, `refused` were not; `since_rotation` were let in after another
-- key had taken over.
CREATE TABLE usage_credentials (
    org_id         BIGINT NOT NULL,
    credential     TEXT    NOT NULL,
    requests       BIGINT NOT NULL,
    refused        BIGINT NOT NULL,
    since_rotation BIGINT NOT NULL,
    last_used_at   BIGINT,
    last_refused_at BIGINT,
    heard_at       BIGINT NOT NULL,
    PRIMARY KEY (org_id, credential)
);
CREATE INDEX usage_credentials_heard ON usage_credentials (heard_at);
