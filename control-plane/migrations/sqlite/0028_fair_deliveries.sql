-- Deliveries side by side: what waits for one webhook, or one client, is found without looking at what waits for others.
-- `retry_at`: a webhook that does not take messages is not tried before.
ALTER TABLE webhooks ADD COLUMN retry_at INTEGER;
CREATE INDEX webhook_deliveries_waiting ON webhook_deliveries (webhook_id, due_at, id) WHERE due_at IS NOT NULL;
CREATE INDEX logouts_client ON logouts (client_id, due_at, id);
