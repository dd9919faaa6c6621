-- What is live is found without passing over what is not. A token stands in the same number of indices as
-- before when it is made; a child in one more.

-- Live tokens are two ranges: those that never expire, and those that expire later than now. The last columns
-- put a page in order before any row is looked up.
DROP INDEX tokens_counted;
CREATE INDEX tokens_live ON tokens (user_id, expire_time, create_time, id)
    WHERE delete_time IS NULL;
CREATE INDEX tokens_family_live ON tokens (family_id, expire_time)
    WHERE delete_time IS NULL AND family_id <> id;

-- The children of a token in order, expired ones too.
CREATE INDEX tokens_children_listed ON tokens (parent_id, id)
    WHERE delete_time IS NULL AND parent_id IS NOT NULL;

-- The purge of a user's ended tokens, beyond the newest ones.
CREATE INDEX tokens_ended ON tokens (user_id, delete_time, create_time, id)
    WHERE delete_time IS NOT NULL;

-- Active users are found without passing over deactivated ones, and people without machines.
DROP INDEX users_listed;
CREATE INDEX users_listed ON users (deactivated, user_type, create_time, id)
    WHERE delete_time IS NULL;
-- Its columns make it the better one of the two for admins.
DROP INDEX users_admins;
CREATE INDEX users_admins ON users (deactivated, user_type)
    WHERE delete_time IS NULL AND role = 'admin';

-- When the server last did what it does by itself, by its clock.
CREATE TABLE jobs (
    name TEXT NOT NULL PRIMARY KEY,
    last_time INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
