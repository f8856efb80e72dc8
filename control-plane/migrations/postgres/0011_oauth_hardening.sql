-- What keeps one client's flows apart from another's. Times are Unix milliseconds unless the column says `_seconds`.

-- Whether a client may begin the device flow: nobody may until somebody says so.
ALTER TABLE clients ADD COLUMN device_flow BIGINT NOT NULL DEFAULT 0 CHECK (device_flow IN (0, 1));

-- What a person has agreed to is for one resource. Nobody knows for which one they agreed so far, so they are asked again.
DROP TABLE consents;
CREATE TABLE consents (
    user_id    BIGINT NOT NULL REFERENCES users (id),
    org_id     BIGINT NOT NULL REFERENCES orgs (id),
    client_id  BIGINT NOT NULL REFERENCES clients (id),
    resource   TEXT   NOT NULL,
    scopes     BIGINT NOT NULL,
    identity   BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, org_id, client_id, resource)
);
CREATE INDEX consents_client ON consents (client_id);
