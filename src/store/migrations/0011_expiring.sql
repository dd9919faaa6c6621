-- What expires soon, in that order, and what is to be purged. Deleted tokens have an index of their own.
DROP INDEX tokens_expiring;
CREATE INDEX tokens_expiring ON tokens (expire_time, id)
    WHERE delete_time IS NULL AND expire_time IS NOT NULL;
