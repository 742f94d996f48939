-- name: insert_redrive
-- Writes down what was asked of a run that redrives.
INSERT INTO retrofill.redrive (run_id, selection, note, asked_by, counted, forecast)
VALUES (%(run_id)s, %(selection)s, %(note)s, %(asked_by)s, %(counted)s, %(forecast)s)

-- name: list_redrives
-- The last runs of a job that redrive, with what became of them, the newest first.
SELECT
    redrive.run_id, redrive.selection, redrive.note, redrive.asked_by, redrive.counted, redrive.forecast,
    became.status::text AS status, became.stop_reason, became.redriven AS moved, became.succeeded,
    became.quarantined, became.items_left, became.cost, became.opened_at, became.closed_at,
    last_set.dag_id, last_set.dag_run_id
FROM (
    SELECT redrive.* FROM retrofill.redrive
    WHERE run_id = ANY(ARRAY(SELECT run_id FROM retrofill.run WHERE job_id = %(job_id)s))
    ORDER BY run_id DESC LIMIT %(redrives)s
) AS redrive
CROSS JOIN LATERAL (
    SELECT * FROM retrofill.v_run WHERE v_run.run_id = redrive.run_id
) AS became
CROSS JOIN LATERAL (
    SELECT dag_id, dag_run_id FROM retrofill.run_set
    WHERE run_set.run_id = redrive.run_id ORDER BY set_no DESC LIMIT 1
) AS last_set
ORDER BY redrive.run_id DESC

-- name: list_costs
-- What the calls of the last runs of a job have cost, of those of which it is known.
SELECT called.cost, called.items
FROM (
    SELECT run_id FROM retrofill.run
    WHERE job_id = %(job_id)s AND price ->> 'most_per_call' IS NOT NULL
    ORDER BY run_id DESC LIMIT %(runs)s
) AS run
CROSS JOIN LATERAL (
    SELECT sum(cost) AS cost, sum(succeeded + quarantined)::bigint AS items
    FROM retrofill.batch WHERE batch.run_id = run.run_id
) AS called
WHERE called.items > 0

-- name: get_listing
-- The last run of a job that listed its source, and between which times its runs' intervals lie.
SELECT run.run_id, run.config, last_set.dag_id, intervals.since, intervals.until
FROM (
    SELECT run_id, config FROM retrofill.run
    WHERE job_id = %(job_id)s AND config ->> 'redrive' IS DISTINCT FROM 'quarantine'
    ORDER BY run_id DESC LIMIT 1
) AS run
CROSS JOIN LATERAL (
    SELECT dag_id FROM retrofill.run_set
    WHERE run_set.run_id = run.run_id ORDER BY set_no DESC LIMIT 1
) AS last_set
CROSS JOIN (
    SELECT min(modified_after) AS since, max(modified_before) AS until FROM retrofill.run
    WHERE job_id = %(job_id)s AND interval_start IS NOT NULL
) AS intervals
