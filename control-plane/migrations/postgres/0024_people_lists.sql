-- One index for each order and filter that a list of the organisation offers: a page reads about as many rows as it shows.

-- Members by name or address, of a role, in a state, or both.
CREATE INDEX memberships_by_name ON memberships (org_id, kind, search_name, user_id);
CREATE INDEX memberships_by_email ON memberships (org_id, kind, search_email, user_id);
CREATE INDEX memberships_by_role ON memberships (org_id, kind, role, search_name, user_id);
CREATE INDEX memberships_by_state ON memberships (org_id, kind,
    (CASE WHEN deactivated_at IS NOT NULL THEN 'deactivated' WHEN suspended_at IS NOT NULL THEN 'suspended' ELSE 'active' END),
    search_name, user_id);
CREATE INDEX memberships_by_role_and_state ON memberships (org_id, kind, role,
    (CASE WHEN deactivated_at IS NOT NULL THEN 'deactivated' WHEN suspended_at IS NOT NULL THEN 'suspended' ELSE 'active' END),
    search_name, user_id);

-- Workspaces that were archived (the others have the key of their names), and the keys that are in use in one: neither revoked
-- nor replaced.
CREATE INDEX workspaces_archived ON workspaces (org_id, name) WHERE archived_at IS NOT NULL;
CREATE INDEX api_keys_in_use ON api_keys (workspace_id, expires_at_seconds)
    WHERE revoked_at IS NULL AND rotated_to IS NULL;

-- Keys of a member, newest first.
DROP INDEX api_keys_user;
CREATE INDEX api_keys_of_member ON api_keys (org_id, user_id, created_at, id) WHERE revoked_at IS NULL;

-- Sessions of an organisation's people, the newest sign-in first. Those that have run out are behind the others.
CREATE INDEX sessions_org ON sessions (org_id, expires_at, sid) WHERE ended_at IS NULL;
CREATE INDEX sessions_member ON sessions (org_id, user_id, expires_at, sid) WHERE ended_at IS NULL;

-- Grants of an organisation, of one of its people, of a client, newest first.
CREATE INDEX grants_org ON grants (org_id, created_at, id) WHERE revoked_at IS NULL;
CREATE INDEX grants_member ON grants (org_id, user_id, created_at, id) WHERE revoked_at IS NULL;
CREATE INDEX grants_client ON grants (org_id, client_id, created_at, id) WHERE revoked_at IS NULL;

-- Clients that an organisation registered, newest first; invitations that wait.
CREATE INDEX clients_org ON clients (org_id, created_at, id) WHERE disabled_at IS NULL;
CREATE INDEX clients_disabled ON clients (org_id, created_at, id) WHERE disabled_at IS NOT NULL;
CREATE INDEX invitations_pending ON invitations (org_id, created_at, id) WHERE accepted_at IS NULL AND revoked_at IS NULL;
