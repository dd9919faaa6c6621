-- Searches of the audit log, each in the order of time: by who, by to whom, and by what. The sequence number is the
-- last column of each.
CREATE INDEX audit_actor ON audit (actor, time);
CREATE INDEX audit_target ON audit (target, time) WHERE target <> '';
CREATE INDEX audit_successor ON audit (successor_id, time) WHERE successor_id <> '';
CREATE INDEX audit_action ON audit (action, time);
DROP INDEX audit_successors;
-- The first row of those with a token as their target tells who made it.
DROP INDEX audit_made;
