-- How many bytes of content there are: batches are bounded by them, too.

ALTER TABLE retrofill.extent ADD COLUMN bytes bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN retrofill.extent.bytes IS 'What the contents of its items took when they entered.';

ALTER TABLE retrofill.batch ADD COLUMN bytes bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN retrofill.batch.bytes IS 'About what the contents of its items take.';

CREATE OR REPLACE FUNCTION retrofill.note_extents() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    stretch record;
BEGIN
    FOR stretch IN
        SELECT
            job_id, run_id, seq / 10000 AS no, min(seq) AS first_seq, max(seq) AS last_seq,
            min(item_key) AS first_key, max(item_key) AS last_key, count(*) AS items,
            sum(octet_length(content)) AS bytes
        FROM added GROUP BY job_id, run_id, no
    LOOP
        IF stretch.items = stretch.last_seq - stretch.first_seq + 1 THEN
            INSERT INTO retrofill.extent (
                job_id, first_seq, last_seq, run_id, first_key, last_key, bytes
            ) VALUES (
                stretch.job_id, stretch.first_seq, stretch.last_seq, stretch.run_id,
                stretch.first_key, stretch.last_key, stretch.bytes
            );
        ELSE
            -- Screening and redrive leave no holes. A person may; then each part is an extent.
            INSERT INTO retrofill.extent (
                job_id, first_seq, last_seq, run_id, first_key, last_key, bytes
            )
            SELECT
                stretch.job_id, min(seq), max(seq), stretch.run_id, min(item_key), max(item_key),
                sum(octet_length(content))
            FROM (
                SELECT seq, item_key, content, seq - row_number() OVER (ORDER BY seq) AS part
                FROM added
                WHERE job_id = stretch.job_id AND run_id = stretch.run_id
                    AND seq / 10000 = stretch.no
            ) AS numbered
            GROUP BY part;
        END IF;
    END LOOP;
    RETURN NULL;
END $$;
