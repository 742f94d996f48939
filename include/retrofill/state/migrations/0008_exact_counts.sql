-- Counts that are exact wherever a set ends, and sources that are read twice to be believed.
-- oldest code: 1

ALTER TABLE retrofill.partition
    ADD COLUMN recent bytea NOT NULL DEFAULT '',
    ADD COLUMN seen integer;
COMMENT ON COLUMN retrofill.partition.cursor IS 'The last key of the last page of which everything has been screened.';
COMMENT ON COLUMN retrofill.partition.recent IS 'Identifiers, 16 bytes each, of items that are counted and may be listed again: those of the page before the cursor, and of the page behind it as far as it has been screened.';
COMMENT ON COLUMN retrofill.partition.seen IS 'Keys that the source saw in it when it was divided, filters aside; null: it did not look.';
-- Identifiers are hashes: nobody can make them shorter.
ALTER TABLE retrofill.partition ALTER COLUMN recent SET STORAGE EXTERNAL;

ALTER TABLE retrofill.run ADD COLUMN source_seen boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN retrofill.run.source_seen IS 'Whether the source had an object when the run was opened, filters aside.';
