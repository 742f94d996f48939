-- name: get_controls
-- The limits of a run, and whether the run may still change.
SELECT
    job_id, limits, plan, config ->> 'source_kind' AS source_kind, clock_timestamp() AS read_at,
    state = 'open' OR (notified_at IS NULL AND closed_at > now() - interval '5 minutes') AS live,
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

-- name: guard_calls
-- Sets a savepoint, so that a slow list of calls does not end the transaction.
SAVEPOINT calls

-- name: give_up_calls
-- Goes back to the savepoint after a list of calls has taken too long.
ROLLBACK TO SAVEPOINT calls

-- name: count_calls
-- How many calls of a run ended in each way, the most frequent first.
SELECT outcome::text AS outcome, calls, items, cause
FROM retrofill.v_outcome WHERE run_id = %(run_id)s
ORDER BY calls DESC, outcome, cause

-- name: list_failed_calls
-- The last calls of a run that did not succeed, the newest first.
SELECT
    batch_id, call_no, item_count AS items, attempt, outcome::text AS outcome, sent_at,
    extract(epoch FROM ended_at - sent_at)::float AS took_s,
    coalesce(request_id, '') AS request_id,
    left(error_type, %(error_chars)s) AS error_type, left(error, %(error_chars)s) AS error
FROM retrofill.batch CROSS JOIN LATERAL (
    SELECT
        call_no, invocation.item_count, attempt, outcome, sent_at, ended_at, request_id, error_type,
        error
    FROM retrofill.invocation
    WHERE invocation.batch_id = batch.batch_id AND outcome <> 'succeeded'
    OFFSET 0
) AS call
WHERE batch.run_id = %(run_id)s
ORDER BY ended_at DESC, batch_id, call_no DESC LIMIT %(calls)s

-- name: list_slowest_calls
-- The calls of a run that took longest, the slowest first.
SELECT
    batch_id, call_no, item_count AS items, attempt, outcome::text AS outcome, sent_at,
    extract(epoch FROM coalesce(ended_at, clock_timestamp()) - sent_at)::float AS took_s,
    coalesce(request_id, '') AS request_id,
    left(error_type, %(error_chars)s) AS error_type, left(error, %(error_chars)s) AS error
FROM retrofill.batch CROSS JOIN LATERAL (
    SELECT
        call_no, invocation.item_count, attempt, outcome, sent_at, ended_at, request_id, error_type,
        error
    FROM retrofill.invocation WHERE invocation.batch_id = batch.batch_id
    OFFSET 0
) AS call
WHERE batch.run_id = %(run_id)s
ORDER BY coalesce(ended_at, now()) - sent_at DESC, batch_id, call_no LIMIT %(calls)s

-- name: list_quarantined
-- The items that a run has put in quarantine, in the order of their keys.
SELECT
    item_key AS key, left(content, %(error_chars)s) AS content, attempts, failures, request_id,
    left(error_type, %(error_chars)s) AS error_type, left(error, %(error_chars)s) AS error,
    quarantined_at, count(*) OVER () AS of
FROM retrofill.quarantine
WHERE job_id = (SELECT job_id FROM retrofill.run WHERE run_id = %(run_id)s)
    AND run_id = %(run_id)s
ORDER BY item_key, identifier LIMIT %(items)s

-- name: list_partitions
-- The partitions of a run and their counts, unfinished ones first.
SELECT
    part_no, label, listed, new, known, done, count(*) OVER () AS of
FROM retrofill.partition WHERE run_id = %(run_id)s
ORDER BY done, part_no LIMIT %(partitions)s

-- name: list_sets
-- The sets of a run, and what their batches did.
SELECT
    set_no, dag_run_id, items_taken, max_items, resumed,
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
