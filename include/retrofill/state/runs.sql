-- name: insert_job
-- Adds a job, unless its name is taken.
INSERT INTO retrofill.job (name, fingerprint, source, function_name, event)
VALUES (%(name)s, %(fingerprint)s, %(source)s, %(function_name)s, %(event)s)
ON CONFLICT (name) DO NOTHING

-- name: get_job
-- The job of a name.
SELECT
    job_id,
    jsonb_build_object(
        'name', name, 'fingerprint', fingerprint, 'source', source, 'function_name', function_name,
        'event', event
    ) AS job
FROM retrofill.job WHERE name = %(name)s

-- name: get_set
-- The set that belongs to a DAG run.
SELECT run_id, set_no FROM retrofill.run_set
WHERE dag_id = %(dag_id)s AND dag_run_id = %(dag_run_id)s

-- name: insert_run
-- Opens a run.
INSERT INTO retrofill.run (
    job_id, source, config, delivery, modified_after, modified_before, function,
    function_timeout_s, limits, source_seen, interval_start, price
)
VALUES (
    %(job_id)s, %(source)s, %(config)s, %(delivery)s, %(modified_after)s, %(modified_before)s,
    %(function)s, %(function_timeout_s)s,
    %(limits)s, %(source_seen)s, %(interval_start)s, %(price)s
)
RETURNING run_id

-- name: insert_set
-- Opens a set, unless it is open already.
INSERT INTO retrofill.run_set (run_id, set_no, dag_id, dag_run_id, max_items)
SELECT run_id, %(set_no)s, %(dag_id)s, %(dag_run_id)s, (limits->>'max_items_per_set')::bigint
FROM retrofill.run WHERE run_id = %(run_id)s
ON CONFLICT (run_id, set_no) DO NOTHING

-- name: get_set_of
-- The DAG run that a set belongs to.
SELECT dag_id, dag_run_id FROM retrofill.run_set
WHERE run_id = %(run_id)s AND set_no = %(set_no)s

-- name: list_later_sets
-- The DAG runs of the sets after a set, in order.
SELECT dag_id, dag_run_id FROM retrofill.run_set
WHERE run_id = %(run_id)s AND set_no > %(set_no)s ORDER BY set_no

-- name: is_to_come
-- Whether a moment is to come, by more than clocks may differ.
SELECT %(moment)s::timestamptz > clock_timestamp() + interval '10 minutes'

-- name: next_run_id
-- The number that the next run is likely to get.
SELECT coalesce(max(run_id), 0) + 1 FROM retrofill.run

-- name: get_run
-- A run, with its job's name and its delivery.
SELECT
    run.run_id, run.job_id, job.name AS job, run.status, run.config, run.delivery,
    run.modified_after, run.modified_before,
    run.function || jsonb_build_object('timeout_s', run.function_timeout_s) AS function,
    run.stop_reason, run.opened_at, run.interval_start, run.source_seen,
    run.wait_notified_at IS NOT NULL AS wait_notified, run.price, run.plan, run.approval
FROM retrofill.run JOIN retrofill.job USING (job_id)
WHERE run.run_id = %(run_id)s

-- name: has_partitions
-- Whether the partitions of a run were written down.
SELECT EXISTS (SELECT FROM retrofill.partition WHERE run_id = %(run_id)s)

-- name: insert_partition
-- Adds a partition to a run.
INSERT INTO retrofill.partition (run_id, part_no, label, description, seen)
VALUES (%(run_id)s, %(part_no)s, %(label)s, %(description)s, %(seen)s)

-- name: list_partitions_left
-- The partitions of a run that are not read to their ends.
SELECT part_no, label FROM retrofill.partition
WHERE run_id = %(run_id)s AND NOT done ORDER BY part_no

-- name: close_set
-- Closes a set, and returns what became of it.
UPDATE retrofill.run_set SET closed_at = coalesce(closed_at, clock_timestamp())
WHERE run_id = %(run_id)s AND set_no = %(set_no)s
RETURNING items_taken = max_items AS "full", planned_at IS NOT NULL AS planned

-- name: close_run
-- Closes a run: complete if it has partitions and nothing is left, else incomplete.
UPDATE retrofill.run SET
    closed_at = clock_timestamp(),
    status = (
        SELECT
            CASE
                WHEN partitions > 0 AND partitions_left = 0 AND items_left = 0 AND with_others = 0
                    AND withdrawn = 0
                    AND coalesce(approval ->> 'status', 'approved') = 'approved'
                    AND (redrive = 'quarantine' OR NOT source_seen OR listed > 0 OR left_out <> '{}')
                THEN 'complete' ELSE 'incomplete'
            END::retrofill.run_status
        FROM retrofill.v_run WHERE v_run.run_id = run.run_id
    )
WHERE run_id = %(run_id)s

-- name: reopen_run
-- Opens a run again that is incomplete.
UPDATE retrofill.run SET status = 'open', closed_at = NULL, report_files = NULL
WHERE run_id = %(run_id)s AND status = 'incomplete'

-- name: mark_notified
-- Records that the notification of a run was handed over.
UPDATE retrofill.run SET notified_at = clock_timestamp()
WHERE run_id = %(run_id)s

-- name: mark_wait_notified
-- Records that people were told what a run waits for.
UPDATE retrofill.run SET wait_notified_at = clock_timestamp()
WHERE run_id = %(run_id)s

-- name: list_reports
-- The counts of runs, for their reports, the newest first.
SELECT
    job, run_id, status, source, function_name, function_version, sets, partitions, partitions_left,
    listed,
    known, new, resumed, left_out, succeeded, quarantined, items_left, calls,
    retries, duplicates, opened_at, closed_at, notified_at, stop_reason, redrive, redriven, failed,
    timed_out, out_of_memory, crashed, handled, unhandled, malformed_answer, throttled, starting,
    unknown, misconfigured, too_large, lost, with_others, others, source_seen, lost_tasks,
    answer_lost, hints, late, withdrawn, planned, approval, cost, cost_from_above, cost_by_term,
    price, refused, report_to, report_files, redrive_counted
FROM retrofill.v_run WHERE run_id = ANY(%(run_ids)s) ORDER BY run_id DESC
