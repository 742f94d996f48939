-- Plan by extents: each says which numbers entered together, for which run, and whether all of them
-- are still there. What nobody has planned yet is cut into batches by arithmetic.
--
-- Only code of this version runs with it: older code asks for the extents of before.

DROP TABLE retrofill.extent;

CREATE TABLE retrofill.extent (
    job_id integer NOT NULL REFERENCES retrofill.job ON DELETE CASCADE,
    first_seq bigint NOT NULL,
    last_seq bigint NOT NULL,
    run_id bigint NOT NULL,
    first_key text COLLATE "C" NOT NULL,
    last_key text COLLATE "C" NOT NULL,
    whole boolean NOT NULL DEFAULT true,
    PRIMARY KEY (job_id, first_seq),
    CONSTRAINT extent_is_short CHECK (last_seq - first_seq BETWEEN 0 AND 9999),
    -- An item in two extents would be planned twice. This refuses a number that was used before.
    CONSTRAINT extents_do_not_overlap EXCLUDE USING gist (
        int4range(job_id, job_id, '[]') WITH =, int8range(first_seq, last_seq, '[]') WITH &&
    )
);
COMMENT ON TABLE retrofill.extent IS 'A stretch of numbers that entered in_process in one statement for one run, and the keys between which its items lie.';
COMMENT ON COLUMN retrofill.extent.whole IS 'No item of it has left: true until its items are planned, since only what was planned leaves.';

-- Whoever adds items, by whatever statement, thereby notes where they lie. With the rights of the
-- owner: only this may add extents.
CREATE OR REPLACE FUNCTION retrofill.note_extents() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    stretch record;
BEGIN
    FOR stretch IN
        SELECT
            job_id, run_id, seq / 10000 AS no, min(seq) AS first_seq, max(seq) AS last_seq,
            min(item_key) AS first_key, max(item_key) AS last_key, count(*) AS items
        FROM added GROUP BY job_id, run_id, no
    LOOP
        IF stretch.items = stretch.last_seq - stretch.first_seq + 1 THEN
            INSERT INTO retrofill.extent (
                job_id, first_seq, last_seq, run_id, first_key, last_key
            ) VALUES (
                stretch.job_id, stretch.first_seq, stretch.last_seq, stretch.run_id,
                stretch.first_key, stretch.last_key
            );
        ELSE
            -- Screening and redrive leave no holes. A person may; then each part is an extent.
            INSERT INTO retrofill.extent (
                job_id, first_seq, last_seq, run_id, first_key, last_key
            )
            SELECT
                stretch.job_id, min(seq), max(seq), stretch.run_id, min(item_key), max(item_key)
            FROM (
                SELECT seq, item_key, seq - row_number() OVER (ORDER BY seq) AS part
                FROM added
                WHERE job_id = stretch.job_id AND run_id = stretch.run_id
                    AND seq / 10000 = stretch.no
            ) AS numbered
            GROUP BY part;
        END IF;
    END LOOP;
    RETURN NULL;
END $$;

-- Of what is there, nobody knows whether it is whole. An extent ends where another run's begins.
INSERT INTO retrofill.extent (job_id, first_seq, last_seq, run_id, first_key, last_key, whole)
SELECT job_id, min(seq), max(seq), run_id, min(item_key), max(item_key), false
FROM (
    SELECT
        job_id, seq, run_id, item_key,
        row_number() OVER (PARTITION BY job_id ORDER BY seq)
        - row_number() OVER (PARTITION BY job_id, run_id ORDER BY seq) AS turn
    FROM retrofill.in_process
) AS numbered
GROUP BY job_id, run_id, turn, seq / 10000;
