-- name: list_runs
-- The numbers of the newest runs that are older than one: of a job, or of all.
SELECT run.run_id FROM retrofill.run
WHERE run.run_id < %(before)s
    AND (%(job_id)s::integer IS NULL OR run.job_id = %(job_id)s)
    AND run.run_id NOT IN (
        SELECT run_set.run_id FROM retrofill.run_set WHERE run_set.dag_id = ANY(%(hidden)s)
    )
ORDER BY run.run_id DESC LIMIT %(most)s
