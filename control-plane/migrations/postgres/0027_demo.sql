-- The demo has OAuth clients, what people let them do, invitations and webhooks as well.

ALTER TABLE demo_objects DROP CONSTRAINT demo_objects_kind_check;
ALTER TABLE demo_objects ADD CONSTRAINT demo_objects_kind_check
    CHECK (kind IN ('user', 'workspace', 'key', 'client', 'grant', 'invitation', 'webhook'));
