-- What a client can be: one that an administrator registered, a metadata document at a URL, or one that registered itself.
-- Times are Unix milliseconds unless the column says `_seconds`.

-- `identifier` is the `client_id` of a client that chose or sealed it; NULL: registered, its `client_id` is `cli_…` of the id.
-- Without an organisation it belongs to whoever lets it in. `jwks` and the lists are JSON.
ALTER TABLE clients ALTER COLUMN org_id DROP NOT NULL;
ALTER TABLE clients
    ADD COLUMN identifier TEXT CONSTRAINT clients_identifier_key UNIQUE,
    ADD COLUMN origin TEXT NOT NULL DEFAULT 'registered' CHECK (origin IN ('registered', 'metadata_document', 'dynamic')),
    ADD COLUMN application_type TEXT NOT NULL DEFAULT 'web' CHECK (application_type IN ('web', 'native')),
    ADD COLUMN token_endpoint_auth_method TEXT NOT NULL DEFAULT 'client_secret_basic' CHECK (token_endpoint_auth_method IN
        ('none', 'client_secret_basic', 'client_secret_post', 'private_key_jwt')),
    ADD COLUMN jwks TEXT,
    ADD COLUMN jwks_uri TEXT,
    ADD COLUMN post_logout_redirect_uris TEXT NOT NULL DEFAULT '[]',
    ADD COLUMN dpop_bound_access_tokens BIGINT NOT NULL DEFAULT 0 CHECK (dpop_bound_access_tokens IN (0, 1)),
    ADD COLUMN require_pushed_requests BIGINT NOT NULL DEFAULT 0 CHECK (require_pushed_requests IN (0, 1));
UPDATE clients SET token_endpoint_auth_method = 'none' WHERE kind = 'public';
ALTER TABLE clients
    ADD CHECK ((origin = 'registered') = (identifier IS NULL)),
    ADD CHECK ((kind = 'public') = (token_endpoint_auth_method = 'none')),
    ADD CHECK (jwks IS NULL OR jwks_uri IS NULL);

-- Client assertions that were taken, until they have expired: SHA-256 of client and `jti`.
CREATE TABLE client_assertions (
    digest          BYTEA  NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
    expires_seconds BIGINT NOT NULL
);
CREATE INDEX client_assertions_expiry ON client_assertions (expires_seconds);
