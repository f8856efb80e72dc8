-- The audit trail is chained: what each row says is fixed by a digest when it is written, and a sealer chains the digests
-- afterwards, so that writers do not wait for each other. A chain is that of an organisation, by its number; 0: the installation.

-- `detail` without what is about a person: that is in `personal` and `address`, sealed under a key of that person (see
-- person_keys): 1, the key's number, nonce, ciphertext; 0 and a digest, once it was dropped. `salt` goes into the digest of the
-- detail, which takes its place when the detail is dropped.
ALTER TABLE audit ADD COLUMN chain INTEGER NOT NULL DEFAULT 0;
ALTER TABLE audit ADD COLUMN salt BLOB;
ALTER TABLE audit ADD COLUMN detail_digest BLOB;
ALTER TABLE audit ADD COLUMN personal BLOB;
ALTER TABLE audit ADD COLUMN address BLOB;
UPDATE audit SET chain = org_id WHERE org_id IS NOT NULL;
DROP INDEX audit_org_at;
CREATE INDEX audit_chain_at ON audit (chain, at, id);
CREATE INDEX audit_chain_actor ON audit (chain, actor, at, id);
CREATE INDEX audit_chain_action ON audit (chain, action, at, id);
CREATE INDEX audit_chain_target ON audit (chain, target, at, id);

-- One row per person in a chain (`usr_…`), and per address that was written to (a digest of it). Without its key, what is sealed
-- under it is lost; the chain still holds, since it is made of what is sealed. `secret` is zeros once the key is destroyed.
CREATE TABLE person_keys (
    id           INTEGER NOT NULL PRIMARY KEY,
    chain        INTEGER NOT NULL,
    subject      TEXT   NOT NULL,
    secret       BLOB  NOT NULL,
    created_at   INTEGER NOT NULL,
    destroyed_at INTEGER,
    CONSTRAINT person_keys_subject_key UNIQUE (chain, subject)
) STRICT;

-- Rows that were written and not chained yet. Without a digest: written by an older release.
CREATE TABLE audit_waiting (
    audit_id INTEGER NOT NULL PRIMARY KEY,
    chain    INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    digest   BLOB
) STRICT;
CREATE INDEX audit_waiting_at ON audit_waiting (at, audit_id);
INSERT INTO audit_waiting (audit_id, chain, at) SELECT id, chain, at FROM audit;

-- The chains. `head` is over the head before, the position, the time and the row's digest.
CREATE TABLE audit_chain (
    chain     INTEGER NOT NULL,
    position  INTEGER NOT NULL,
    audit_id  INTEGER NOT NULL,
    sealed_at INTEGER NOT NULL,
    head      BLOB  NOT NULL,
    PRIMARY KEY (chain, position),
    CONSTRAINT audit_chain_audit_key UNIQUE (audit_id)
) STRICT;

-- One row per run of the sealer: the heads that it left, chained in turn. `head` rides in every heartbeat. `mac` is by a key that
-- comes of the master key, whose number says which one.
CREATE TABLE audit_seals (
    number    INTEGER NOT NULL PRIMARY KEY,
    sealed_at INTEGER NOT NULL,
    head      BLOB  NOT NULL,
    mac_key   BLOB  NOT NULL,
    mac       BLOB  NOT NULL
) STRICT;
CREATE INDEX audit_seals_head ON audit_seals (head);
CREATE TABLE audit_seal_heads (
    chain    INTEGER NOT NULL,
    position INTEGER NOT NULL,
    seal     INTEGER NOT NULL,
    head     BLOB  NOT NULL,
    PRIMARY KEY (chain, position)
) STRICT;
CREATE INDEX audit_seal_heads_seal ON audit_seal_heads (seal, chain);

-- One row: the last seal. Whoever seals holds it.
CREATE TABLE audit_sealer (
    id     INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    number INTEGER NOT NULL,
    head   BLOB  NOT NULL
) STRICT;

-- What the last walk along a chain found.
CREATE TABLE audit_checks (
    chain        INTEGER NOT NULL PRIMARY KEY,
    checked_at   INTEGER NOT NULL,
    position     INTEGER NOT NULL,
    bad_position INTEGER,
    reason       TEXT
) STRICT;
