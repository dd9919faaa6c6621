-- Of a rotation, the token that took the target's place: domain/audit.rs, format 3.
ALTER TABLE audit ADD COLUMN successor_id TEXT NOT NULL DEFAULT '';
CREATE INDEX audit_successors ON audit (successor_id) WHERE successor_id <> '';
