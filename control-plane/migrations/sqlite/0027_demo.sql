-- The demo has OAuth clients, what people let them do, invitations and webhooks as well.

CREATE TABLE demo_objects_new (
    kind TEXT    NOT NULL CHECK (kind IN ('user', 'workspace', 'key', 'client', 'grant', 'invitation', 'webhook')),
    id   INTEGER NOT NULL,
    PRIMARY KEY (kind, id)
) STRICT;
INSERT INTO demo_objects_new (kind, id) SELECT kind, id FROM demo_objects;
DROP TABLE demo_objects;
ALTER TABLE demo_objects_new RENAME TO demo_objects;
