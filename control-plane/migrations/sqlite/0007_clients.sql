-- What a client can be: one that an administrator registered, a metadata document at a URL, or one that registered itself.
-- Times are Unix milliseconds unless the column says `_seconds`.

-- `identifier` is the `client_id` of a client that chose or sealed it; NULL: registered, its `client_id` is `cli_…` of the id.
-- Without an organisation it belongs to whoever lets it in. `jwks` and the lists are JSON. SQLite changes no column in
-- place: the table is built again under its name, and whatever refers to it is checked at the commit.
PRAGMA defer_foreign_keys = ON;
CREATE TABLE clients_before AS SELECT * FROM clients;
DROP TABLE clients;
CREATE TABLE clients (
    id                         INTEGER NOT NULL PRIMARY KEY,
    identifier                 TEXT,
    origin                     TEXT    NOT NULL CHECK (origin IN ('registered', 'metadata_document', 'dynamic')),
    org_id                     INTEGER REFERENCES orgs (id),
    name                       TEXT    NOT NULL,
    kind                       TEXT    NOT NULL CHECK (kind IN ('public', 'confidential')),
    application_type           TEXT    NOT NULL CHECK (application_type IN ('web', 'native')),
    token_endpoint_auth_method TEXT    NOT NULL CHECK (token_endpoint_auth_method IN
                                   ('none', 'client_secret_basic', 'client_secret_post', 'private_key_jwt')),
    secret_digest              BLOB    NOT NULL CHECK (length(secret_digest) = 32),
    jwks                       TEXT,
    jwks_uri                   TEXT,
    redirect_uris              TEXT    NOT NULL,
    post_logout_redirect_uris  TEXT    NOT NULL,
    scopes                     INTEGER NOT NULL,
    refresh_grace_seconds      INTEGER NOT NULL CHECK (refresh_grace_seconds BETWEEN 0 AND 300),
    dpop_bound_access_tokens   INTEGER NOT NULL CHECK (dpop_bound_access_tokens IN (0, 1)),
    require_pushed_requests    INTEGER NOT NULL CHECK (require_pushed_requests IN (0, 1)),
    last_iat_seconds           INTEGER NOT NULL DEFAULT 0,
    not_before_seconds         INTEGER,
    created_at                 INTEGER NOT NULL,
    disabled_at                INTEGER,
    CONSTRAINT clients_identifier_key UNIQUE (identifier),
    CHECK ((origin = 'registered') = (identifier IS NULL)),
    CHECK ((kind = 'public') = (token_endpoint_auth_method = 'none')),
    CHECK (jwks IS NULL OR jwks_uri IS NULL)
) STRICT;
INSERT INTO clients
    (id, identifier, origin, org_id, name, kind, application_type, token_endpoint_auth_method, secret_digest, jwks, jwks_uri,
     redirect_uris, post_logout_redirect_uris, scopes, refresh_grace_seconds, dpop_bound_access_tokens,
     require_pushed_requests, last_iat_seconds, not_before_seconds, created_at, disabled_at)
SELECT id, NULL, 'registered', org_id, name, kind, 'web',
       CASE WHEN kind = 'public' THEN 'none' ELSE 'client_secret_basic' END, secret_digest, NULL, NULL,
       redirect_uris, '[]', scopes, refresh_grace_seconds, 0,
       0, last_iat_seconds, not_before_seconds, created_at, disabled_at FROM clients_before;
DROP TABLE clients_before;

-- Client assertions that were taken, until they have expired: SHA-256 of client and `jti`.
CREATE TABLE client_assertions (
    digest          BLOB    NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
    expires_seconds INTEGER NOT NULL
) STRICT;
CREATE INDEX client_assertions_expiry ON client_assertions (expires_seconds);
