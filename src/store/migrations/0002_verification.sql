-- Using, rotating and finding tokens.

-- The latest use that was written: kept in memory at first, so it may lag by a minute.
ALTER TABLE tokens ADD COLUMN last_use_time INTEGER;
ALTER TABLE tokens ADD COLUMN last_use_ip TEXT;
-- The token that took over by rotation.
ALTER TABLE tokens ADD COLUMN successor_id TEXT;

-- A family: its first token, whose ID it has, and these. A token that was never rotated takes no room here.
CREATE INDEX tokens_families ON tokens (family_id, id) WHERE family_id <> id;

-- Who made a token, and with what.
CREATE INDEX audit_made ON audit (target) WHERE action IN ('token.create', 'token.rotate');
