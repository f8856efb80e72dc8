-- Webhooks: where an organisation hears of changes. `events` are names and patterns (`key.*`) between blanks. `sealed` holds the
-- secrets under the master key: the present one, and the one before until `previous_until`.
CREATE TABLE webhooks (
    id              INTEGER NOT NULL PRIMARY KEY,
    org_id          INTEGER NOT NULL REFERENCES orgs (id),
    url             TEXT   NOT NULL,
    description     TEXT   NOT NULL,
    events          TEXT   NOT NULL,
    sealed          BLOB  NOT NULL,
    previous_until  INTEGER,
    created_by      TEXT   NOT NULL,
    created_at      INTEGER NOT NULL,
    disabled_at     INTEGER,
    disabled_reason TEXT,
    failing_since   INTEGER,
    delivered_at    INTEGER
) STRICT;
CREATE INDEX webhooks_org ON webhooks (org_id, id);

-- What is to be delivered, written in the transaction of the change. `due_at` is null once that is over: delivered or given up.
-- The id is the message's, the same for every attempt.
CREATE TABLE webhook_deliveries (
    id           INTEGER NOT NULL PRIMARY KEY,
    webhook_id   INTEGER NOT NULL REFERENCES webhooks (id),
    event        TEXT   NOT NULL,
    payload      TEXT   NOT NULL,
    created_at   INTEGER NOT NULL,
    due_at       INTEGER,
    attempts     INTEGER NOT NULL DEFAULT 0,
    last_at      INTEGER,
    last_status  INTEGER,
    last_error   TEXT,
    delivered_at INTEGER,
    given_up_at  INTEGER
) STRICT;
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (due_at, id) WHERE due_at IS NOT NULL;
CREATE INDEX webhook_deliveries_hook ON webhook_deliveries (webhook_id, created_at, id);
CREATE INDEX webhook_deliveries_created ON webhook_deliveries (created_at);
