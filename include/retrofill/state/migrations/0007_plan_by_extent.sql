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

-- As before, but the counts of each batch are looked up, whatever the planner believes of the table.
CREATE OR REPLACE VIEW retrofill.v_run AS
SELECT
    run.run_id,
    job.name AS job,
    run.state,
    job.source,
    run.function_arn,
    run.function_version,
    coalesce(sets.sets, 0) AS sets,
    coalesce(parts.partitions, 0) AS partitions,
    coalesce(parts.partitions_left, 0) AS partitions_left,
    coalesce(parts.listed, 0) AS listed,
    coalesce(parts.known, 0) AS known,
    coalesce(parts.new, 0) AS new,
    coalesce(sets.resumed, 0) AS resumed,
    coalesce(parts.archived, 0) AS archived,
    coalesce(parts.filtered, 0) AS filtered,
    coalesce(parts.rejected, 0) AS rejected,
    coalesce(calls.succeeded, 0) AS succeeded,
    coalesce(calls.quarantined, 0) AS quarantined,
    coalesce(parts.new, 0) + coalesce(sets.resumed, 0) + coalesce(sets.redriven, 0)
        - coalesce(calls.succeeded, 0) - coalesce(calls.quarantined, 0) AS items_left,
    coalesce(calls.calls, 0) AS calls,
    coalesce(calls.retries, 0) AS retries,
    coalesce(calls.duplicates, 0) AS duplicates,
    run.opened_at,
    run.closed_at,
    run.notified_at,
    run.stop_reason,
    coalesce((run.config ->> 'redrive')::boolean, false) AS redrive,
    coalesce(sets.redriven, 0) AS redriven,
    troubles.failed,
    troubles.timed_out,
    troubles.out_of_memory,
    troubles.crashed,
    troubles.handled,
    troubles.unhandled,
    troubles.malformed_answer,
    troubles.throttled,
    troubles.starting,
    troubles.unknown,
    troubles.misconfigured,
    troubles.too_large,
    troubles.lost
FROM retrofill.run
JOIN retrofill.job USING (job_id)
LEFT JOIN LATERAL (
    SELECT
        count(*) AS sets, sum(resumed)::bigint AS resumed, sum(run_set.redriven)::bigint AS redriven
    FROM retrofill.run_set WHERE run_set.run_id = run.run_id
) AS sets ON true
LEFT JOIN LATERAL (
    SELECT
        count(*) AS partitions,
        count(*) FILTER (WHERE NOT done) AS partitions_left,
        sum(listed)::bigint AS listed, sum(new)::bigint AS new, sum(known)::bigint AS known,
        sum(archived)::bigint AS archived, sum(filtered)::bigint AS filtered,
        sum(rejected)::bigint AS rejected
    FROM retrofill.partition WHERE partition.run_id = run.run_id
) AS parts ON true
LEFT JOIN LATERAL (
    SELECT
        sum(succeeded) AS succeeded, sum(quarantined) AS quarantined, sum(calls) AS calls,
        sum(retries) AS retries, sum(duplicates) AS duplicates
    FROM retrofill.batch WHERE batch.run_id = run.run_id
) AS calls ON true
LEFT JOIN LATERAL (
    SELECT
        coalesce(sum(count.calls) FILTER (WHERE outcome = 'failed'), 0)::bigint AS failed,
        coalesce(sum(count.calls) FILTER (WHERE cause = 'timed_out'), 0)::bigint AS timed_out,
        coalesce(sum(count.calls) FILTER (WHERE cause = 'out_of_memory'), 0)::bigint
            AS out_of_memory,
        coalesce(sum(count.calls) FILTER (WHERE cause = 'crashed'), 0)::bigint AS crashed,
        coalesce(sum(count.calls) FILTER (WHERE cause = 'handled'), 0)::bigint AS handled,
        coalesce(sum(count.calls) FILTER (WHERE cause = 'unhandled'), 0)::bigint AS unhandled,
        coalesce(sum(count.calls) FILTER (WHERE cause = 'malformed_answer'), 0)::bigint
            AS malformed_answer,
        coalesce(sum(count.calls) FILTER (WHERE outcome = 'throttled'), 0)::bigint AS throttled,
        coalesce(sum(count.calls) FILTER (WHERE outcome = 'starting'), 0)::bigint AS starting,
        coalesce(sum(count.calls) FILTER (WHERE outcome = 'unknown'), 0)::bigint AS unknown,
        coalesce(sum(count.calls) FILTER (WHERE outcome = 'misconfigured'), 0)::bigint
            AS misconfigured,
        coalesce(sum(count.calls) FILTER (WHERE outcome = 'too_large'), 0)::bigint AS too_large,
        coalesce(sum(count.calls) FILTER (WHERE outcome = 'lost'), 0)::bigint AS lost
    FROM retrofill.batch CROSS JOIN LATERAL (
        SELECT outcome, cause, calls FROM retrofill.call_count
        WHERE call_count.batch_id = batch.batch_id
        OFFSET 0
    ) AS count
    WHERE batch.run_id = run.run_id
) AS troubles ON true;
