-- DPoP (RFC 9449). `dpop_jkt` is the SHA-256 thumbprint of the key that a code or a grant is bound to.
ALTER TABLE authorization_codes ADD COLUMN dpop_jkt BYTEA CHECK (length(dpop_jkt) = 32);
ALTER TABLE grants ADD COLUMN dpop_jkt BYTEA CHECK (length(dpop_jkt) = 32);

-- Proofs that were used, until they would be refused by their age: `id` is the SHA-256 of key and `jti`.
CREATE TABLE dpop_proofs (
    id           BYTEA   NOT NULL PRIMARY KEY CHECK (length(id) = 32),
    ends_seconds BIGINT NOT NULL
);
CREATE INDEX dpop_proofs_ends ON dpop_proofs (ends_seconds);
