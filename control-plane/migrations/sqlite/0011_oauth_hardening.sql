-- What keeps one client's flows apart from another's. Times are Unix milliseconds unless the column says `_seconds`.

-- Whether a client may begin the device flow: nobody may until somebody says so.
ALTER TABLE clients ADD COLUMN device_flow INTEGER NOT NULL DEFAULT 0 CHECK (device_flow IN (0, 1));
