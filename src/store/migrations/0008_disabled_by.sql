-- Who disabled a token: 'owner', 'admin' or 'reuse'. Only an admin enables what the latter two did.
ALTER TABLE tokens ADD COLUMN disabled_by TEXT;
-- When the token's family was disabled because a rotated secret of it was used. Successors have it, too.
ALTER TABLE tokens ADD COLUMN reuse_time INTEGER;

-- Of those that are disabled already, the audit log knows: who is neither the user nor its owner was an admin.
-- One pass over the log, whose index is of other actions.
UPDATE tokens SET disabled_by = 'owner' WHERE disabled = 1;
UPDATE tokens SET disabled_by = 'admin' WHERE id IN (
    SELECT t.id
    FROM (SELECT target, max(sequence) AS latest FROM audit WHERE action = 'token.disable' GROUP BY target) d
    JOIN tokens t ON t.id = d.target
    JOIN audit a ON a.sequence = d.latest
    JOIN users u ON u.id = t.user_id
    WHERE t.disabled = 1 AND a.actor <> t.user_id AND (u.owner_id IS NULL OR a.actor <> u.owner_id)
);
