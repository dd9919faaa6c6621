-- A user's revoked tokens in order of creation, for a list that includes them.
CREATE INDEX tokens_revoked_listed ON tokens (user_id, create_time, id)
    WHERE delete_time IS NOT NULL;
