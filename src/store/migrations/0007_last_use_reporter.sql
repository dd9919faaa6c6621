-- Who told of a use that the server has not seen itself: a service or a proxy.
ALTER TABLE tokens ADD COLUMN last_use_reporter_ip TEXT;
