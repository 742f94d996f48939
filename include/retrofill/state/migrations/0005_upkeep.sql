-- Upkeep: which code each migration suits, and jobs that are being forgotten.

ALTER TABLE retrofill.migration ADD COLUMN oldest_code integer;
COMMENT ON COLUMN retrofill.migration.oldest_code IS 'The oldest version of the code that runs with it; null: its own.';

ALTER TABLE retrofill.job ADD COLUMN forgotten_at timestamptz;
COMMENT ON COLUMN retrofill.job.forgotten_at IS 'Not null: what it knows is being deleted, and no run of it is opened.';
