-- name: list_open_runs
-- The runs of one job or of all jobs that may be active, with their DAG runs.
-- They are open, or have an open batch because a task of a closed run was cleared.
SELECT
    run.run_id, run.job_id, job.name AS job, run_set.dag_id,
    array_agg(run_set.dag_run_id ORDER BY run_set.set_no) AS dag_run_ids
FROM retrofill.run
JOIN retrofill.job USING (job_id)
JOIN retrofill.run_set USING (run_id)
WHERE run.job_id = coalesce(%(job_id)s, run.job_id) AND (
    run.status = 'open'
    OR run.run_id = ANY(ARRAY(SELECT run_id FROM retrofill.batch WHERE done_at IS NULL))
)
GROUP BY run.run_id, run.job_id, job.name, run_set.dag_id
ORDER BY run.run_id

-- name: list_jobs
-- The numbers of all jobs by name.
SELECT name, job_id FROM retrofill.job ORDER BY job_id

-- name: list_batches
-- The next batches of a job; if days are given, those with calls to delete.
-- ORDER BY: otherwise the planner might read the calls of other batches until it finds one of this.
SELECT batch_id FROM retrofill.batch
WHERE batch_id > %(after)s AND run_id = ANY(ARRAY(
    SELECT run_id FROM retrofill.run
    WHERE job_id = %(job_id)s AND (
        %(days)s::integer IS NULL
        OR closed_at < clock_timestamp() - make_interval(days => %(days)s)
    )
)) AND (
    %(days)s::integer IS NULL
    OR done_at IS NOT NULL AND (
        SELECT call_no FROM retrofill.invocation
        WHERE invocation.batch_id = batch.batch_id ORDER BY call_no LIMIT 1
    ) IS NOT NULL
)
ORDER BY batch_id LIMIT %(batches)s

-- name: delete_calls
-- Deletes a page of the settled calls of a batch.
-- Pages are read in the order of an index. The planner cannot know the limit, assumes a tenth of the
-- rows, and so does not sort all rows. The rows to delete are an array, so they are looked up.
DELETE FROM retrofill.invocation
WHERE batch_id = %(batch_id)s AND call_no = ANY(ARRAY(
    SELECT call_no FROM retrofill.invocation
    WHERE batch_id = %(batch_id)s AND outcome IS NOT NULL
    ORDER BY call_no LIMIT (SELECT %(rows)s)
))

-- name: delete_results
-- Deletes the old results in a page of a job's results, and returns where the page ends.
WITH page AS (
    SELECT
        ctid AS place, item_key, identifier,
        %(days)s::integer IS NULL
        OR settled_at < clock_timestamp() - make_interval(days => %(days)s) AND run_id <> ALL(ARRAY(
            SELECT run_id FROM retrofill.run WHERE job_id = %(job_id)s AND status = 'open'
        )) AS old
    FROM retrofill.results
    WHERE job_id = %(job_id)s AND (item_key, identifier) > (%(item_key)s, %(identifier)s::uuid)
    ORDER BY item_key, identifier LIMIT (SELECT %(rows)s)
),
gone AS (
    DELETE FROM retrofill.results
    WHERE ctid = ANY(ARRAY(SELECT place FROM page WHERE old))
    RETURNING 1
)
SELECT (SELECT count(*) FROM gone) AS deleted, item_key, identifier::text AS identifier
FROM page ORDER BY item_key DESC, identifier DESC LIMIT 1

-- name: delete_quarantined
-- Deletes a page of a job's quarantined items, and returns where the page ends.
WITH page AS (
    SELECT ctid AS place, item_key, identifier FROM retrofill.quarantine
    WHERE job_id = %(job_id)s AND (item_key, identifier) > (%(item_key)s, %(identifier)s::uuid)
    ORDER BY item_key, identifier LIMIT (SELECT %(rows)s)
),
gone AS (
    DELETE FROM retrofill.quarantine WHERE ctid = ANY(ARRAY(SELECT place FROM page)) RETURNING 1
)
SELECT (SELECT count(*) FROM gone) AS deleted, item_key, identifier::text AS identifier
FROM page ORDER BY item_key DESC, identifier DESC LIMIT 1

-- name: delete_in_process
-- Deletes a page of a job's items in process.
DELETE FROM retrofill.in_process
WHERE job_id = %(job_id)s AND seq = ANY(ARRAY(
    SELECT seq FROM retrofill.in_process
    WHERE job_id = %(job_id)s ORDER BY seq LIMIT (SELECT %(rows)s)
))

-- name: delete_redriven
-- Deletes a page of a job's redrive history.
DELETE FROM retrofill.redriven
WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM retrofill.redriven
    WHERE job_id = %(job_id)s
    ORDER BY item_key, identifier, run_id LIMIT (SELECT %(rows)s)
))

-- name: list_active_runs
-- The runs of a job that are open or of which a task holds a batch.
SELECT run_id FROM retrofill.run WHERE job_id = %(job_id)s AND status = 'open'
UNION
SELECT run_id FROM retrofill.batch
WHERE job_id = %(job_id)s AND done_at IS NULL AND leased_until > clock_timestamp()
ORDER BY run_id

-- name: mark_forgotten
-- Marks a job as being forgotten, so that no run of it can be opened.
UPDATE retrofill.job SET forgotten_at = coalesce(forgotten_at, clock_timestamp())
WHERE job_id = %(job_id)s

-- name: delete_batches
-- Deletes batches and everything that refers to them.
DELETE FROM retrofill.batch WHERE batch_id = ANY(%(batch_ids)s)

-- name: delete_run
-- Deletes the first run of a job with its sets and partitions.
DELETE FROM retrofill.run
WHERE run_id = (SELECT min(run_id) FROM retrofill.run WHERE job_id = %(job_id)s)

-- name: delete_job
-- Deletes a job.
DELETE FROM retrofill.job WHERE job_id = %(job_id)s
