-- Every route policy that edges were ever told, by the version that they know it under: who, when, why.

CREATE TABLE policies (
    version       BIGINT NOT NULL PRIMARY KEY,
    document      BYTEA  NOT NULL,
    applied_by    TEXT   NOT NULL,
    applied_at    BIGINT NOT NULL,
    reason        TEXT   NOT NULL,
    -- The version that was put in force again.
    restored_from BIGINT
);

INSERT INTO policies (version, document, applied_by, applied_at, reason)
SELECT policy_version, policy, 'system', created_at, 'in force before there was a history'
FROM feed_state WHERE policy_version > 0;

-- Which organisation is the first: it is the operator's.
CREATE INDEX orgs_by_age ON orgs (created_at, id);
