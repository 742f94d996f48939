-- The in-process cache without an index over keys: extents say which numbers hold which keys.
-- oldest code: 1
--
-- Every index entry is written to the log by itself, so the index over (job, key, identifier)
-- took as much time as all else of screening. The constraint goes first: it takes the strongest
-- lock, and whoever screens at that moment waits for it instead of standing in its way.

ALTER TABLE retrofill.in_process DROP CONSTRAINT in_process_job_id_item_key_identifier_key;

CREATE TABLE retrofill.extent (
    job_id integer NOT NULL REFERENCES retrofill.job ON DELETE CASCADE,
    first_seq bigint NOT NULL,
    last_seq bigint NOT NULL,
    first_key text COLLATE "C" NOT NULL,
    last_key text COLLATE "C" NOT NULL,
    PRIMARY KEY (job_id, first_seq),
    CHECK (first_seq <= last_seq AND first_key <= last_key)
);
COMMENT ON TABLE retrofill.extent IS 'Where in in_process the keys of a job lie: each of its items is in the extent of its number.';

-- Whoever adds items, by whatever statement, thereby adds their extents: screening could miss
-- them otherwise. Numbers rise and are never used again, so extents do not overlap. With the rights
-- of the owner: a role that may add items may add extents, and code from before needs no new grant.
CREATE FUNCTION retrofill.note_extents() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO retrofill.extent (job_id, first_seq, last_seq, first_key, last_key)
    SELECT job_id, min(seq), max(seq), min(item_key), max(item_key)
    FROM added GROUP BY job_id, seq / 10000;
    RETURN NULL;
END $$;

CREATE TRIGGER note_extents AFTER INSERT ON retrofill.in_process
REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION retrofill.note_extents();

INSERT INTO retrofill.extent (job_id, first_seq, last_seq, first_key, last_key)
SELECT job_id, min(seq), max(seq), min(item_key), max(item_key)
FROM retrofill.in_process GROUP BY job_id, seq / 10000;
