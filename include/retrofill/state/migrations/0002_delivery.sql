-- What the calls of a run look like, as open_run found it out.

ALTER TABLE retrofill.run ADD COLUMN delivery jsonb;
COMMENT ON COLUMN retrofill.run.delivery IS 'Event shape, items per call, answer contract, and what is taken over from a live trigger; null: as in config.';
