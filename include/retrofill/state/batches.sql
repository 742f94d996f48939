-- name: lock_job
SELECT FROM retrofill.job WHERE job_id = %(job_id)s FOR NO KEY UPDATE

-- name: close_abandoned
WITH alive AS (
    SELECT run_id, set_no FROM retrofill.batch
    WHERE job_id = %(job_id)s
    GROUP BY run_id, set_no
    HAVING max(greatest(leased_until, done_at, planned_at))
        > clock_timestamp() - make_interval(secs => %(abandoned_after_s)s)
)
UPDATE retrofill.batch SET
    done_at = coalesce(leased_until, planned_at), epoch = epoch + 1, leased_until = NULL
WHERE job_id = %(job_id)s AND done_at IS NULL AND run_id <> %(run_id)s
    AND (run_id, set_no) NOT IN (SELECT run_id, set_no FROM alive)
RETURNING batch_id

-- name: forget_extents
-- No join: without statistics, the planner may read the whole job for each extent.
DELETE FROM retrofill.extent
WHERE job_id = %(job_id)s AND (
    SELECT seq FROM retrofill.in_process
    WHERE in_process.job_id = %(job_id)s
        AND seq BETWEEN extent_no * 10000 AND extent_no * 10000 + 9999
    LIMIT 1
) IS NULL

-- name: plan_batches
WITH at_work AS (
    SELECT run_id FROM retrofill.run
    WHERE job_id = %(job_id)s AND run_id <> %(run_id)s AND state = 'open'
        AND coalesce(
            (
                SELECT max(greatest(leased_until, done_at, planned_at))
                FROM retrofill.batch WHERE batch.run_id = run.run_id
            ),
            opened_at
        ) > clock_timestamp() - make_interval(secs => %(abandoned_after_s)s)
),
free AS (
    SELECT seq, run_id, row_number() OVER (ORDER BY seq) - 1 AS place
    FROM retrofill.in_process
    WHERE job_id = %(job_id)s AND run_id NOT IN (SELECT run_id FROM at_work) AND NOT EXISTS (
        SELECT FROM retrofill.batch
        WHERE batch.job_id = %(job_id)s AND batch.done_at IS NULL
            AND in_process.seq BETWEEN batch.first_seq AND batch.last_seq
    )
),
size AS (
    SELECT
        greatest(
            least(%(most_items)s, ceil(count(*) / %(min_batches)s::numeric)),
            %(fewest_items)s,
            ceil(count(*) / %(max_batches)s::numeric)
        ) AS items
    FROM free
),
spans AS (
    SELECT
        min(seq) AS first_seq, max(seq) AS last_seq, count(*) AS items,
        count(*) FILTER (WHERE free.run_id <> %(run_id)s) AS resumed
    FROM free, size
    GROUP BY div(place, size.items)
),
planned AS (
    INSERT INTO retrofill.batch (job_id, run_id, set_no, first_seq, last_seq, items)
    SELECT %(job_id)s, %(run_id)s, %(set_no)s, first_seq, last_seq, items
    FROM spans ORDER BY first_seq
)
UPDATE retrofill.run_set SET
    planned_at = coalesce(planned_at, clock_timestamp()),
    resumed = run_set.resumed + coalesce((SELECT sum(spans.resumed) FROM spans), 0)
WHERE run_id = %(run_id)s AND set_no = %(set_no)s

-- name: list_batches
SELECT batch_id, items FROM retrofill.batch
WHERE run_id = %(run_id)s AND set_no = %(set_no)s ORDER BY first_seq

-- name: release_set
UPDATE retrofill.batch SET
    done_at = clock_timestamp(), epoch = epoch + 1, leased_until = NULL, wanted = 0, allotted = 0
WHERE run_id = %(run_id)s AND set_no = %(set_no)s AND done_at IS NULL
RETURNING batch_id

-- name: is_overlapped
SELECT EXISTS (
    SELECT FROM retrofill.batch
    WHERE job_id = %(job_id)s AND done_at IS NULL AND batch_id <> %(batch_id)s
        AND first_seq <= %(last_seq)s AND last_seq >= %(first_seq)s
)

-- name: reopen
UPDATE retrofill.batch SET done_at = NULL WHERE batch_id = %(batch_id)s

-- name: count_items
SELECT count(*) FROM retrofill.in_process
WHERE job_id = %(job_id)s AND seq BETWEEN %(first_seq)s AND %(last_seq)s

-- name: lock_batch
SELECT
    batch.job_id, batch.run_id, batch.first_seq, batch.last_seq, batch.items, batch.holder,
    greatest(extract(epoch FROM batch.leased_until - clock_timestamp()), 0)::float AS leased_s,
    batch.done_at IS NOT NULL AS done
FROM retrofill.batch
WHERE batch_id = %(batch_id)s FOR NO KEY UPDATE

-- name: take_lease
UPDATE retrofill.batch SET
    epoch = epoch + 1, holder = %(holder)s, allotted = 0, wanted = 0,
    leased_until = clock_timestamp() + make_interval(secs => %(lease_s)s)
WHERE batch_id = %(batch_id)s
RETURNING epoch, next_call, settle_no

-- name: lose_calls
WITH lost AS (
    UPDATE retrofill.invocation SET outcome = 'lost', ended_at = clock_timestamp()
    WHERE batch_id = ANY(%(batch_ids)s) AND outcome IS NULL
    RETURNING batch_id, items, sent_at
)
UPDATE retrofill.in_process SET
    attempts = attempts + 1, unsure = true,
    not_before = greatest(
        not_before, lost.sent_at + make_interval(secs => run.function_timeout_s)
    )
FROM lost JOIN retrofill.batch USING (batch_id) JOIN retrofill.run USING (run_id)
WHERE in_process.job_id = batch.job_id AND in_process.seq <@ lost.items
    AND in_process.seq BETWEEN lower(lost.items) AND upper(lost.items)

-- name: load_items
SELECT
    seq, translate(identifier::text, '-', ''), item_key, size, modified_at, etag, version_id, attempts, failures,
    call_cap, unsure,
    coalesce(greatest(extract(epoch FROM not_before - clock_timestamp()), 0), 0)::float
FROM retrofill.in_process
WHERE job_id = %(job_id)s AND seq BETWEEN %(first_seq)s AND %(last_seq)s
ORDER BY seq

-- name: fence
UPDATE retrofill.batch SET
    settle_no = %(settle_no)s,
    leased_until = clock_timestamp() + make_interval(secs => %(lease_s)s),
    next_call = next_call + %(new_calls)s,
    calls = calls + %(new_calls)s,
    retries = retries + %(retries)s,
    duplicates = duplicates + %(duplicates)s,
    quarantined = quarantined + %(quarantined)s
WHERE batch_id = %(batch_id)s AND epoch = %(epoch)s AND done_at IS NULL
    AND settle_no = %(settle_no)s - 1

-- name: get_settle_no
SELECT settle_no FROM retrofill.batch WHERE batch_id = %(batch_id)s AND epoch = %(epoch)s

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
    AND (invocation.outcome IS NULL OR invocation.outcome = 'lost')

-- name: settle_succeeded
-- Number by number, and between bounds: by spans, and without statistics, as in the first minute of
-- a first run, the planner would compare every item of the job with every span.
WITH ok AS (
    SELECT generate_series(first_seq, last_seq) AS seq, call_no
    FROM unnest(%(firsts)s::bigint[], %(lasts)s::bigint[], %(call_nos)s::integer[])
        AS span (first_seq, last_seq, call_no)
),
done AS (
    DELETE FROM retrofill.in_process USING ok
    WHERE in_process.job_id = %(job_id)s AND in_process.seq = ok.seq
        AND in_process.seq BETWEEN
            (SELECT min(seq) FROM unnest(%(firsts)s::bigint[]) AS first (seq))
            AND (SELECT max(seq) FROM unnest(%(lasts)s::bigint[]) AS last (seq))
    RETURNING
        in_process.seq, in_process.job_id, in_process.item_key, in_process.identifier,
        in_process.attempts, ok.call_no
)
INSERT INTO retrofill.results (
    job_id, item_key, identifier, run_id, batch_id, call_no, attempts, settled_at
)
SELECT
    job_id, item_key, identifier, %(run_id)s, %(batch_id)s, call_no, attempts + 1,
    clock_timestamp()
FROM done ORDER BY seq

-- name: count_succeeded
UPDATE retrofill.batch SET succeeded = succeeded + %(count)s WHERE batch_id = %(batch_id)s

-- name: settle_quarantined
WITH poison AS (
    DELETE FROM retrofill.in_process
    USING unnest(
        %(seqs)s::bigint[], %(call_nos)s::integer[], %(attempts)s::integer[],
        %(failures)s::integer[], %(request_ids)s::text[], %(error_types)s::text[],
        %(errors)s::text[]
    ) AS bad (seq, call_no, attempts, failures, request_id, error_type, error)
    WHERE in_process.job_id = %(job_id)s AND in_process.seq = bad.seq
    RETURNING
        in_process.job_id, in_process.item_key, in_process.identifier, in_process.version_id,
        in_process.etag, in_process.size, in_process.modified_at, in_process.unsure,
        bad.call_no, bad.attempts, bad.failures, bad.request_id, bad.error_type, bad.error
)
INSERT INTO retrofill.quarantine (
    job_id, item_key, identifier, run_id, batch_id, call_no, version_id, etag, size, modified_at,
    attempts, failures, unsure, request_id, error_type, error, quarantined_at
)
SELECT
    job_id, item_key, identifier, %(run_id)s, %(batch_id)s, call_no, version_id, etag, size,
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
    %(call_nos)s::integer[], %(items)s::text[]::int8multirange[], %(item_counts)s::integer[],
    %(attempts)s::integer[], %(duplicates)s::integer[]
) AS call (call_no, items, item_count, attempt, duplicates)

-- name: lock_run
SELECT max_concurrency, max_calls_per_second, paused, stop_reason
FROM retrofill.run WHERE run_id = %(run_id)s FOR NO KEY UPDATE

-- name: list_shares
SELECT wanted, allotted FROM retrofill.batch
WHERE run_id = %(run_id)s AND batch_id <> %(batch_id)s AND done_at IS NULL
    AND leased_until > clock_timestamp()

-- name: allot
UPDATE retrofill.batch SET
    wanted = %(wanted)s, allotted = %(allotted)s,
    leased_until = clock_timestamp() + make_interval(secs => %(lease_s)s)
WHERE batch_id = %(batch_id)s AND epoch = %(epoch)s AND done_at IS NULL

-- name: release
UPDATE retrofill.batch SET
    leased_until = NULL, holder = NULL, wanted = 0, allotted = 0,
    done_at = CASE WHEN %(done)s THEN clock_timestamp() END
WHERE batch_id = %(batch_id)s AND epoch = %(epoch)s AND done_at IS NULL
