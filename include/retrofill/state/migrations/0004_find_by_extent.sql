-- The in-process cache without an index over keys: extents say which numbers hold which keys.
-- oldest code: 1
--
-- Every index entry is written to the log by itself: that over (job, key, identifier) took a third
-- of the log, and a quarter of the server's time. The constraint goes first: it takes the strongest
-- lock, and whoever screens at that moment waits for it instead of standing in its way.

ALTER TABLE retrofill.in_process DROP CONSTRAINT in_process_job_id_item_key_identifier_key;

CREATE TABLE retrofill.extent (
    job_id integer NOT NULL REFERENCES retrofill.job ON DELETE CASCADE,
    extent_no bigint NOT NULL,
    first_key text COLLATE "C" NOT NULL,
    last_key text COLLATE "C" NOT NULL,
    PRIMARY KEY (job_id, extent_no)
);
COMMENT ON TABLE retrofill.extent IS 'Where in in_process the keys of a job lie: items whose seq / 10000 is extent_no have keys between these two.';

-- Whoever adds items, by whatever statement, thereby notes where they lie: screening could miss
-- them otherwise. With the rights of the owner: code from before has no grant for extents.
CREATE FUNCTION retrofill.note_extents() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO retrofill.extent (job_id, extent_no, first_key, last_key)
    SELECT job_id, seq / 10000, min(item_key), max(item_key) FROM added GROUP BY 1, 2
    ON CONFLICT (job_id, extent_no) DO UPDATE SET
        first_key = least(extent.first_key, excluded.first_key),
        last_key = greatest(extent.last_key, excluded.last_key);
    RETURN NULL;
END $$;

CREATE TRIGGER note_extents AFTER INSERT ON retrofill.in_process
REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION retrofill.note_extents();

INSERT INTO retrofill.extent (job_id, extent_no, first_key, last_key)
SELECT job_id, seq / 10000, min(item_key), max(item_key) FROM retrofill.in_process GROUP BY 1, 2;

-- A second run reads the index alone where the pages are known to be visible to all; by default
-- that is found out again only when a fifth of the table is new.
ALTER TABLE retrofill.results SET (
    autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02
);
