-- Counts that are exact wherever a set ends.
-- oldest code: 1

ALTER TABLE retrofill.partition ADD COLUMN recent bytea NOT NULL DEFAULT '';
COMMENT ON COLUMN retrofill.partition.cursor IS 'The last key of the last page of which everything has been screened.';
COMMENT ON COLUMN retrofill.partition.recent IS 'Identifiers, 16 bytes each, of items that are counted and may be listed again: those of the page before the cursor, and of the page behind it as far as it has been screened.';
-- Identifiers are hashes: nobody can make them shorter.
ALTER TABLE retrofill.partition ALTER COLUMN recent SET STORAGE EXTERNAL;
