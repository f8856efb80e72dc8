-- Programs as members, and who is who in lists. Times are Unix milliseconds.

-- A service account is a user without an address and without a password: its `email` is its id, which no address can be. It is
-- never signed in; its keys act for it as those of people do for them.
ALTER TABLE users ADD COLUMN kind TEXT NOT NULL DEFAULT 'person'
    CHECK (kind = 'person' OR (kind = 'service' AND password_hash IS NULL AND email NOT LIKE '%@%'));

-- Copies of what lists order and search by: of a name in lower case, and of an address. They are written with what they copy.
ALTER TABLE memberships ADD COLUMN kind TEXT NOT NULL DEFAULT 'person' CHECK (kind IN ('person', 'service'));
ALTER TABLE memberships ADD COLUMN search_name TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE memberships ADD COLUMN search_email TEXT COLLATE "C" NOT NULL DEFAULT '';
UPDATE memberships SET
    search_name = (SELECT lower(name) FROM users WHERE id = user_id),
    search_email = (SELECT email FROM users WHERE id = user_id);
