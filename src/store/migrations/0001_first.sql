-- Times are microseconds since 1970, IDs are 22 base62 digits, whose order as text is their order in time.

CREATE TABLE meta (
    key TEXT NOT NULL PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- A deleted user leaves its row behind, without description and password: its name is never used again.
CREATE TABLE users (
    id TEXT NOT NULL PRIMARY KEY CHECK (length(id) = 22),
    username TEXT NOT NULL UNIQUE,
    user_type TEXT NOT NULL CHECK (user_type IN ('person', 'machine')),
    role TEXT NOT NULL CHECK (role IN ('admin', 'member')),
    owner_id TEXT REFERENCES users (id),
    description TEXT NOT NULL,
    password_hash TEXT,
    create_time INTEGER NOT NULL,
    update_time INTEGER NOT NULL,
    deactivated INTEGER NOT NULL CHECK (deactivated IN (0, 1)),
    delete_time INTEGER,
    CHECK ((user_type = 'machine') = (owner_id IS NOT NULL)),
    CHECK (user_type = 'person' OR password_hash IS NULL)
) STRICT;

-- Lists. The last columns let a filtered list or count pass over a row without looking it up.
CREATE INDEX users_listed ON users (create_time, id, deactivated, user_type)
    WHERE delete_time IS NULL;
CREATE INDEX users_owned ON users (owner_id, create_time, id, deactivated)
    WHERE delete_time IS NULL AND owner_id IS NOT NULL;
CREATE INDEX users_admins ON users (id)
    WHERE delete_time IS NULL AND deactivated = 0 AND role = 'admin' AND user_type = 'person';

-- A parent may be purged before its children, so parent_id is no reference.
CREATE TABLE tokens (
    id TEXT NOT NULL PRIMARY KEY CHECK (length(id) = 22),
    user_id TEXT NOT NULL REFERENCES users (id),
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    note TEXT NOT NULL,
    create_time INTEGER NOT NULL,
    expire_time INTEGER,
    scopes TEXT NOT NULL,
    allowed_cidrs TEXT NOT NULL,
    disabled INTEGER NOT NULL CHECK (disabled IN (0, 1)),
    parent_id TEXT,
    family_id TEXT NOT NULL,
    delete_time INTEGER
) STRICT;

-- Lists. The expiry lets a list pass over expired rows without looking them up.
CREATE INDEX tokens_listed ON tokens (user_id, create_time, id, expire_time)
    WHERE delete_time IS NULL;
-- Quotas: a count touches live rows only.
CREATE INDEX tokens_counted ON tokens (user_id, expire_time)
    WHERE delete_time IS NULL;
CREATE INDEX tokens_children ON tokens (parent_id, expire_time)
    WHERE delete_time IS NULL AND parent_id IS NOT NULL;
-- The purge.
CREATE INDEX tokens_deleted ON tokens (delete_time) WHERE delete_time IS NOT NULL;
CREATE INDEX tokens_expiring ON tokens (expire_time) WHERE expire_time IS NOT NULL;

-- Each row's hash is over its fields and the hash before: domain/audit.rs.
CREATE TABLE audit (
    sequence INTEGER NOT NULL PRIMARY KEY,
    time INTEGER NOT NULL,
    actor TEXT NOT NULL,
    credential_id TEXT NOT NULL,
    target TEXT NOT NULL,
    action TEXT NOT NULL,
    outcome TEXT NOT NULL,
    count INTEGER NOT NULL,
    request_id TEXT NOT NULL,
    client_request_id TEXT NOT NULL,
    ip TEXT NOT NULL,
    user_agent TEXT NOT NULL,
    hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;
