-- What the expiry of a rotated token was before its grace: for a rotation that is taken back.
ALTER TABLE tokens ADD COLUMN expire_time_before_rotation INTEGER;
