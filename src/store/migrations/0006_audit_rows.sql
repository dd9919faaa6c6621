-- What the hash of an audit row is over: domain/audit.rs. Rows that were there before are of format 1, which has no
-- kind of credential.
ALTER TABLE audit ADD COLUMN format INTEGER NOT NULL DEFAULT 1;
ALTER TABLE audit ADD COLUMN credential_kind TEXT NOT NULL DEFAULT '';

-- Rows are numbered from 1. A check of the table itself would need the table to be written anew.
CREATE TRIGGER audit_numbered BEFORE INSERT ON audit WHEN NEW.sequence < 1
BEGIN
    SELECT RAISE(ABORT, 'rows of the audit log are numbered from 1');
END;
