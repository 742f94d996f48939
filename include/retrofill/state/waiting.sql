-- name: wait
-- Notes that a DAG run waits, unless it does already.
INSERT INTO retrofill.waiting (dag_id, dag_run_id, job_id, runs, behind)
VALUES (%(dag_id)s, %(dag_run_id)s, %(job_id)s, '{}', '{}')
ON CONFLICT (dag_id, dag_run_id) DO NOTHING

-- name: list_open_runs
-- The open runs of a job.
SELECT run_id FROM retrofill.run WHERE job_id = %(job_id)s AND status = 'open' ORDER BY run_id

-- name: list_before
-- The DAG runs that began to wait before one.
SELECT other.dag_id, other.dag_run_id
FROM retrofill.waiting AS own JOIN retrofill.waiting AS other USING (job_id)
WHERE own.dag_id = %(dag_id)s AND own.dag_run_id = %(dag_run_id)s
    AND (other.since, other.dag_id, other.dag_run_id) < (own.since, own.dag_id, own.dag_run_id)
ORDER BY other.since, other.dag_id, other.dag_run_id

-- name: list_of_job
-- The DAG runs that wait to open a run of a job, and what for.
SELECT dag_id, dag_run_id, since, runs, behind
FROM retrofill.waiting WHERE job_id = %(job_id)s ORDER BY since, dag_id, dag_run_id

-- name: list_waiting
-- All DAG runs that wait.
SELECT dag_id, dag_run_id FROM retrofill.waiting ORDER BY since

-- name: note_ahead
-- Notes what a DAG run waits for, and returns for how many seconds it has.
UPDATE retrofill.waiting SET runs = %(runs)s, behind = %(behind)s
WHERE dag_id = %(dag_id)s AND dag_run_id = %(dag_run_id)s
RETURNING extract(epoch FROM clock_timestamp() - since)::float AS waited_s

-- name: wait_no_more
-- Forgets that a DAG run waits.
DELETE FROM retrofill.waiting WHERE dag_id = %(dag_id)s AND dag_run_id = %(dag_run_id)s
