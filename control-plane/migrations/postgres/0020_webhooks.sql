-- Webhooks: where an organisation hears of changes. `events` are names and patterns (`key.*`) between blanks. `sealed` holds the
-- secrets under the master key: the present one, and the one before until `previous_until`.
CREATE TABLE webhooks (
    id              BIGINT NOT NULL PRIMARY KEY,
    org_id          BIGINT NOT NULL REFERENCES orgs (id),
    url             TEXT   NOT NULL,
    description     TEXT   NOT NULL,
    events          TEXT   NOT NULL,
    sealed          BYTEA  NOT NULL,
    previous_until  BIGINT,
    created_by      TEXT   NOT NULL,
    created_at      BIGINT NOT NULL,
    disabled_at     BIGINT,
    disabled_reason TEXT,
    failing_since   BIGINT,
    delivered_at    BIGINT
);
CREATE INDEX webhooks_org ON webhooks (org_id, id);

-- What is to be delivered, written in the transaction of the change. `due_at` is null once that is over: delivered or given up.
-- The id is the message's, the same for every attempt.
CREATE TABLE webhook_deliveries (
    id           BIGINT NOT NULL PRIMARY KEY,
    webhook_id   BIGINT NOT NULL REFERENCES webhooks (id),
    event        TEXT   NOT NULL,
    payload      TEXT   NOT NULL,
    created_at   BIGINT NOT NULL,
    due_at       BIGINT,
    attempts     BIGINT NOT NULL DEFAULT 0,
    last_at      BIGINT,
    last_status  BIGINT,
    last_error   TEXT,
    delivered_at BIGINT,
    given_up_at  BIGINT
);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (due_at, id) WHERE due_at IS NOT NULL;
CREATE INDEX webhook_deliveries_hook ON webhook_deliveries (webhook_id, created_at, id);
CREATE INDEX webhook_deliveries_created ON webhook_deliveries (created_at);
