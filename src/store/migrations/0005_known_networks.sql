-- From which networks people signed in of late: the throttle spares them after a restart, too. Written in batches
-- beside the user's row, and without a reference to it.
CREATE TABLE known_networks (
    user_id TEXT NOT NULL,
    network TEXT NOT NULL,
    last_time INTEGER NOT NULL,
    PRIMARY KEY (user_id, network)
) STRICT, WITHOUT ROWID;
-- The newest ones of a user, and those whose time is over.
CREATE INDEX known_networks_of_user ON known_networks (user_id, last_time);
CREATE INDEX known_networks_ended ON known_networks (last_time);
