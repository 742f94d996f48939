-- name: get_controls
-- The limits of a run, and whether the run may still change.
SELECT
    job_id, limits, plan, function || jsonb_build_object('timeout_s', function_timeout_s) AS function,
    extract(epoch FROM coalesce(closed_at, clock_timestamp()) - opened_at - waited)::float AS age_s, config ->> 'source_kind' AS source_kind, clock_timestamp() AS read_at,
    status = 'open' OR (notified_at IS NULL AND closed_at > now() - interval '5 minutes') AS live,
    ramp, refused.since AS refused_since, refused.reason AS refusal
FROM retrofill.run
LEFT JOIN LATERAL (
    SELECT refused_since AS since, refusal AS reason FROM retrofill.batch
    WHERE batch.run_id = run.run_id AND leased_until > clock_timestamp()
        AND refused_since < clock_timestamp() - interval '10 s'
        AND refused_since > coalesce(
            (SELECT max(answered_at) FROM retrofill.batch WHERE batch.run_id = %(run_id)s),
            '-infinity'
        )
    ORDER BY refused_since LIMIT 1
) AS refused ON true
WHERE run_id = %(run_id)s

-- name: count_calls
-- How many calls of a run ended in each way, the most frequent first.
SELECT outcome::text AS outcome, calls, items, cause
FROM retrofill.v_outcome WHERE run_id = %(run_id)s
ORDER BY calls DESC, outcome, cause

-- name: list_failed_calls
-- The last calls of a run that did not succeed, the newest first.
-- They are among the last ones of the ways of ending that were met last, as these are kept.
SELECT
    call.batch_id, call.call_no, call.item_count AS items, call.attempt,
    call.outcome::text AS outcome, call.sent_at, call.ended_at,
    extract(epoch FROM call.ended_at - call.sent_at)::float AS took_s,
    coalesce(call.request_id, '') AS request_id,
    left(call.error_type, %(error_chars)s) AS error_type, left(call.error, %(error_chars)s) AS error,
    call.set_no, call.task_id, call.map_index, coalesce(call.keys, waiting.keys) AS keys
FROM (
    SELECT kept.*, item_count, items, attempt, outcome, sent_at, ended_at, request_id, error_type,
        error, keys
    FROM (
        SELECT DISTINCT batch_id, job_id, set_no, task_id, map_index, call_no
        FROM (
            SELECT batch.*, count.last_calls
            FROM retrofill.batch CROSS JOIN LATERAL (
                SELECT last_at, last_calls FROM retrofill.call_count
                WHERE call_count.batch_id = batch.batch_id
                OFFSET 0
            ) AS count
            WHERE batch.run_id = %(run_id)s AND count.last_calls <> '{}'
            ORDER BY count.last_at DESC LIMIT (SELECT %(calls)s)
        ) AS newest, unnest(last_calls) AS call_no
    ) AS kept
    CROSS JOIN LATERAL (
        SELECT
            item_count, items, attempt, outcome, sent_at, ended_at, request_id, error_type, error,
            keys
        FROM retrofill.invocation
        WHERE invocation.batch_id = kept.batch_id AND invocation.call_no = kept.call_no
            AND outcome <> 'succeeded'
        OFFSET 0
    ) AS found
    ORDER BY ended_at DESC, batch_id, call_no DESC LIMIT (SELECT %(calls)s)
) AS call
CROSS JOIN LATERAL (
    -- Who lost a call has not told what it carried; that may be in process still.
    SELECT jsonb_agg(item_key ORDER BY seq) AS keys FROM (
        SELECT seq, item_key FROM retrofill.in_process
        WHERE call.keys IS NULL AND in_process.job_id = call.job_id AND seq <@ call.items
            AND seq BETWEEN lower(call.items) AND lower(call.items) + 4
        OFFSET 0
    ) AS item
) AS waiting
ORDER BY call.ended_at DESC, call.batch_id, call.call_no DESC

-- name: list_slowest_calls
-- The calls of a run that took longest, the slowest first.
-- They are among those that were kept by the batches whose slowest ones took longest.
SELECT
    slow.batch_id, kept.call_no, call.item_count AS items, attempt, outcome::text AS outcome,
    sent_at, ended_at,
    extract(epoch FROM coalesce(ended_at, clock_timestamp()) - sent_at)::float AS took_s,
    coalesce(request_id, '') AS request_id,
    left(error_type, %(error_chars)s) AS error_type, left(error, %(error_chars)s) AS error,
    set_no, task_id, map_index, keys
FROM (
    SELECT * FROM retrofill.batch
    WHERE run_id = %(run_id)s AND slowest <> '{}'
    ORDER BY slowest_ms[1] DESC LIMIT (SELECT %(calls)s)
) AS slow
CROSS JOIN unnest(slowest) AS kept (call_no)
CROSS JOIN LATERAL (
    SELECT
        invocation.item_count, attempt, outcome, sent_at, ended_at, request_id, error_type, error,
        keys
    FROM retrofill.invocation
    WHERE invocation.batch_id = slow.batch_id AND invocation.call_no = kept.call_no
    OFFSET 0
) AS call
ORDER BY coalesce(ended_at, now()) - sent_at DESC, slow.batch_id, kept.call_no LIMIT %(calls)s

-- name: list_batches
-- Batches of a run: those at work, then those that are left, then those that are done.
SELECT
    batch_id, set_no, canary, task_id, map_index, items, succeeded, quarantined, calls,
    calls_succeeded, done_at IS NOT NULL AS done,
    done_at IS NULL AND coalesce(leased_until > clock_timestamp(), false) AS held,
    in_flight, lost_tasks, count(*) OVER () AS of
FROM retrofill.batch WHERE run_id = %(run_id)s
ORDER BY done, held DESC, batch_id DESC LIMIT %(batches)s

-- name: list_quarantined
-- The items that a run has put in quarantine, in the order of their keys.
SELECT
    item_key AS key, left(content, %(error_chars)s) AS content, attempts, failures, request_id,
    left(error_type, %(error_chars)s) AS error_type, left(error, %(error_chars)s) AS error,
    quarantined_at, (
        SELECT count(*) FROM (
            SELECT FROM retrofill.quarantine WHERE run_id + 0 = %(run_id)s LIMIT (SELECT %(most)s)
        ) AS waiting
    ) AS of
FROM retrofill.quarantine WHERE run_id + 0 = %(run_id)s
ORDER BY item_key || '' LIMIT (SELECT %(items)s)

-- name: list_partitions
-- The partitions of a run and their counts, unfinished ones first.
SELECT
    part_no, label, listed, new, known, done, count(*) OVER () AS of
FROM retrofill.partition WHERE run_id = %(run_id)s
ORDER BY done, part_no LIMIT %(partitions)s

-- name: list_sets
-- The sets of a run, and what their batches did.
SELECT
    set_no, dag_id, dag_run_id, items_taken, max_items, resumed,
    coalesce(work.batches, 0) AS batches, coalesce(work.batches_done, 0) AS batches_done,
    coalesce(work.items, 0) AS items, coalesce(work.succeeded, 0) AS succeeded,
    coalesce(work.quarantined, 0) AS quarantined, coalesce(work.held, 0) AS held,
    opened_at, planned_at, closed_at
FROM retrofill.run_set
LEFT JOIN LATERAL (
    SELECT
        count(*) AS batches, count(*) FILTER (WHERE done_at IS NOT NULL) AS batches_done,
        sum(items) AS items, sum(succeeded) AS succeeded, sum(quarantined) AS quarantined,
        count(*) FILTER (WHERE done_at IS NULL AND leased_until > clock_timestamp()) AS held
    FROM retrofill.batch WHERE batch.run_id = run_set.run_id AND batch.set_no = run_set.set_no
) AS work ON true
WHERE run_id = %(run_id)s ORDER BY set_no
