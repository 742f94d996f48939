-- name: lock_job
SELECT FROM retrofill.job WHERE job_id = %(job_id)s FOR NO KEY UPDATE

-- name: lock_owners
SELECT FROM retrofill.batch
WHERE batch_id = %(batch_id)s OR job_id = %(job_id)s AND done_at IS NULL AND EXISTS (
    SELECT FROM unnest(%(firsts)s::bigint[], %(lasts)s::bigint[]) AS ok (first_seq, last_seq)
    WHERE batch.first_seq <= ok.last_seq AND batch.last_seq >= ok.first_seq
)
ORDER BY batch_id FOR NO KEY UPDATE

-- name: end_calls
UPDATE retrofill.invocation SET
    ended_at = clock_timestamp(), outcome = ended.outcome::retrofill.outcome,
    request_id = ended.request_id, executed_version = ended.executed_version,
    error_type = ended.error_type, error = ended.error
FROM unnest(
    %(call_nos)s::integer[], %(outcomes)s::text[], %(request_ids)s::text[], %(versions)s::text[],
    %(error_types)s::text[], %(errors)s::text[]
) AS ended (call_no, outcome, request_id, executed_version, error_type, error)
WHERE invocation.batch_id = %(batch_id)s AND invocation.call_no = ended.call_no
    -- As an array, too, as in settle_succeeded: else all calls of the batch might be looked at.
    AND invocation.call_no = ANY(ARRAY(SELECT unnest(%(call_nos)s::integer[])))
    AND (invocation.outcome IS NULL OR invocation.outcome = 'lost')
RETURNING invocation.call_no

-- name: count_succeeded
UPDATE retrofill.batch SET
    succeeded = succeeded + %(count)s, calls_succeeded = calls_succeeded + %(calls)s,
    items_answered = items_answered + %(items)s
WHERE batch_id = %(batch_id)s

-- name: count_troubles
INSERT INTO retrofill.call_count AS count (batch_id, outcome, cause, calls, items)
SELECT %(batch_id)s, outcome::retrofill.outcome, cause, calls, items
FROM unnest(
    %(outcomes)s::text[], %(causes)s::text[], %(calls)s::bigint[], %(items)s::bigint[]
) AS ended (outcome, cause, calls, items)
ON CONFLICT (batch_id, outcome, cause) DO UPDATE SET
    calls = count.calls + excluded.calls, items = count.items + excluded.items

-- name: count_quarantined
UPDATE retrofill.batch SET quarantined = quarantined + %(count)s WHERE batch_id = %(batch_id)s

-- name: settle_succeeded
WITH done AS (
    -- As one array whose length the planner cannot know: so the items are looked up by number, and
    -- once, whatever it believes of the table. In the first minute of a first run it knows nothing.
    DELETE FROM retrofill.in_process
    WHERE job_id = %(job_id)s AND seq = ANY(ARRAY(
        SELECT generate_series(first_seq, last_seq)
        FROM unnest(%(firsts)s::bigint[], %(lasts)s::bigint[]) AS ok (first_seq, last_seq)
    ))
    RETURNING seq, item_key, identifier, attempts
)
INSERT INTO retrofill.results (
    job_id, item_key, identifier, run_id, batch_id, call_no, attempts, settled_at
)
SELECT
    %(job_id)s, item_key, identifier, %(run_id)s, %(batch_id)s,
    -- The first numbers rise, and no two spans overlap.
    (%(call_nos)s::integer[])[width_bucket(seq, %(firsts)s::bigint[])],
    attempts + 1, clock_timestamp()
FROM done ORDER BY seq

-- name: settle_late
WITH ok AS (
    SELECT * FROM unnest(%(firsts)s::bigint[], %(lasts)s::bigint[], %(call_nos)s::integer[])
        AS ok (first_seq, last_seq, call_no)
),
waited AS (
    DELETE FROM retrofill.in_process USING ok
    -- OFFSET 0: each span is looked up by itself. Without statistics, as in the first minute of a
    -- first run, the planner would compare every item of the job with every span.
    CROSS JOIN LATERAL (
        SELECT item.seq FROM retrofill.in_process AS item
        WHERE item.job_id = %(job_id)s AND item.seq BETWEEN ok.first_seq AND ok.last_seq
        OFFSET 0
    ) AS found
    WHERE in_process.job_id = %(job_id)s AND in_process.seq = found.seq
    RETURNING
        in_process.seq, in_process.item_key, in_process.identifier, in_process.attempts,
        ok.call_no
),
given_up AS (
    DELETE FROM retrofill.quarantine USING ok
    WHERE quarantine.job_id = %(job_id)s
        AND quarantine.seq BETWEEN ok.first_seq AND ok.last_seq
    RETURNING
        quarantine.seq, quarantine.item_key, quarantine.identifier, quarantine.attempts,
        ok.call_no, quarantine.batch_id
),
done AS (
    -- The count belongs to the batch that has the item now: the last one planned with it.
    SELECT
        waited.seq, waited.item_key, waited.identifier,
        -- Somebody may be calling it again, and will find nothing to count.
        waited.attempts + (
            SELECT count(*) FROM retrofill.batch CROSS JOIN LATERAL (
                SELECT FROM retrofill.invocation
                WHERE invocation.batch_id = batch.batch_id AND outcome IS NULL
                    AND waited.seq <@ invocation.items
                OFFSET 0
            ) AS under_way
            WHERE batch.job_id = %(job_id)s
                AND waited.seq BETWEEN batch.first_seq AND batch.last_seq
        ) AS attempts,
        waited.call_no, owned.owner, 0 AS given_up
    FROM waited CROSS JOIN LATERAL (
        SELECT coalesce(max(batch.batch_id), %(batch_id)s) AS owner FROM retrofill.batch
        WHERE batch.job_id = %(job_id)s AND waited.seq BETWEEN batch.first_seq AND batch.last_seq
    ) AS owned
    UNION ALL
    SELECT given_up.*, 1 FROM given_up
),
moved AS (
    INSERT INTO retrofill.results (
        job_id, item_key, identifier, run_id, batch_id, call_no, attempts, settled_at
    )
    SELECT
        %(job_id)s, item_key, identifier, %(run_id)s, %(batch_id)s, call_no, attempts,
        clock_timestamp()
    FROM done ORDER BY seq
)
UPDATE retrofill.batch SET
    succeeded = succeeded + owned.items, quarantined = quarantined - owned.given_up
FROM (
    SELECT owner, count(*) AS items, sum(given_up) AS given_up FROM done GROUP BY owner
) AS owned
WHERE batch.batch_id = owned.owner

-- name: settle_quarantined
WITH poison AS (
    DELETE FROM retrofill.in_process
    USING unnest(
        %(seqs)s::bigint[], %(call_nos)s::integer[], %(attempts)s::integer[],
        %(failures)s::integer[], %(unsures)s::boolean[], %(request_ids)s::text[],
        %(error_types)s::text[], %(errors)s::text[]
    ) AS bad (seq, call_no, attempts, failures, unsure, request_id, error_type, error)
    WHERE in_process.job_id = %(job_id)s AND in_process.seq = bad.seq
    RETURNING
        in_process.job_id, in_process.seq, in_process.item_key, in_process.identifier,
        in_process.version_id, in_process.etag, in_process.size, in_process.modified_at,
        bad.unsure, bad.call_no, bad.attempts, bad.failures, bad.request_id, bad.error_type, bad.error
)
INSERT INTO retrofill.quarantine (
    job_id, seq, item_key, identifier, run_id, batch_id, call_no, version_id, etag, size,
    modified_at, attempts, failures, unsure, request_id, error_type, error, quarantined_at
)
SELECT
    job_id, seq, item_key, identifier, %(run_id)s, %(batch_id)s, call_no, version_id, etag, size,
    modified_at, attempts, failures, unsure, request_id, error_type, error, clock_timestamp()
FROM poison

-- name: settle_retried
UPDATE retrofill.in_process SET
    attempts = retried.attempts, failures = retried.failures, call_cap = retried.call_cap,
    unsure = retried.unsure,
    not_before = clock_timestamp() + make_interval(secs => retried.delay_s)
FROM unnest(
    %(seqs)s::bigint[], %(attempts)s::integer[], %(failures)s::integer[], %(call_caps)s::integer[],
    %(unsures)s::boolean[], %(delays_s)s::float[]
) AS retried (seq, attempts, failures, call_cap, unsure, delay_s)
WHERE in_process.job_id = %(job_id)s AND in_process.seq = retried.seq

-- name: write_ahead
INSERT INTO retrofill.invocation (
    batch_id, call_no, epoch, items, item_count, attempt, duplicates
)
SELECT %(batch_id)s, call_no, %(epoch)s, items, item_count, attempt, duplicates
FROM unnest(
    %(call_nos)s::integer[], %(items)s::int8multirange[], %(item_counts)s::integer[],
    %(attempts)s::integer[], %(duplicates)s::integer[]
) AS call (call_no, items, item_count, attempt, duplicates)
