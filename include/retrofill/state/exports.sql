-- name: begin_snapshot
-- Makes the transaction one read-only snapshot, which may be idle while a store accepts items.
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY;
SELECT set_config('idle_in_transaction_session_timeout', %(patience)s, true)

-- name: read_in_order
-- Restricts this transaction to index scans, which read items in order.
SELECT set_config(name, 'off', true)
FROM unnest(ARRAY['enable_seqscan', 'enable_bitmapscan', 'enable_sort']) AS name

-- name: get_time
-- The time of the snapshot.
SELECT statement_timestamp()

-- name: get_last_run
-- The last run of a job.
SELECT max(run_id) FROM retrofill.run WHERE job_id = %(job_id)s

-- name: list_versions
-- The version of the function that each run of a job calls.
SELECT run_id, function ->> 'version' FROM retrofill.run WHERE job_id = %(job_id)s

-- name: list_failed
-- The items of a job or run that are in quarantine, in the order of their keys.
SELECT
    item_key AS key, identifier::text AS identifier, content, 'failed' AS status, error_type, error,
    attempts, unsure, run_id, request_id,
    CASE WHEN %(details)s THEN (
        SELECT executed_version FROM retrofill.invocation AS call
        WHERE call.batch_id = item.batch_id AND call.call_no = item.call_no
    ) END AS function_version,
    quarantined_at AS settled_at
FROM retrofill.quarantine AS item
WHERE job_id = %(job_id)s AND run_id = coalesce(%(run_id)s, run_id)
ORDER BY item_key, identifier

-- name: list_succeeded
-- The items of a job or run that succeeded, in the order of their keys.
SELECT
    item_key AS key, identifier::text AS identifier, '' AS content, 'succeeded' AS status,
    '' AS error_type, '' AS error, attempts, false AS unsure, run_id, call[1] AS request_id,
    call[2] AS function_version, settled_at
FROM (
    SELECT
        item.*,
        CASE WHEN %(details)s THEN (
            SELECT ARRAY[request_id, executed_version] FROM retrofill.invocation
            WHERE invocation.batch_id = item.batch_id AND invocation.call_no = item.call_no
        ) END AS call
    FROM retrofill.results AS item
    WHERE job_id = %(job_id)s AND run_id = coalesce(%(run_id)s, run_id)
    ORDER BY item_key, identifier
    OFFSET 0
) AS item

-- name: list_pending
-- The items of a job or run that are still in process, in the order in which they entered.
SELECT
    item_key AS key, identifier::text AS identifier, content, 'pending' AS status,
    '' AS error_type, '' AS error, attempts, unsure, run_id, NULL AS request_id,
    NULL AS function_version, NULL::timestamptz AS settled_at
FROM retrofill.in_process AS item
WHERE job_id = %(job_id)s AND run_id = coalesce(%(run_id)s, run_id)
ORDER BY job_id, seq

-- name: note_files
-- Records the report files of a run.
UPDATE retrofill.run SET report_files = %(written)s WHERE run_id = %(run_id)s
