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

-- Every client whose token with an index was exchanged, not just the first: a token that was exchanged may be exchanged again.
ALTER TABLE exchanged_indexes RENAME TO exchanged_before;
DROP INDEX exchanged_indexes_client;
CREATE TABLE exchanged_indexes (
    idx             BIGINT NOT NULL,
    client          TEXT   NOT NULL,
    expires_seconds BIGINT NOT NULL,
    CONSTRAINT exchanged_indexes_key PRIMARY KEY (idx, client)
);
INSERT INTO exchanged_indexes (idx, client, expires_seconds) SELECT idx, client, expires_seconds FROM exchanged_before;
DROP TABLE exchanged_before;
CREATE INDEX exchanged_indexes_client ON exchanged_indexes (client);
