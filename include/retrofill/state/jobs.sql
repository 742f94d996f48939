-- name: get_job
-- A job by its number.
SELECT
    job_id,
    jsonb_build_object(
        'name', name, 'fingerprint', fingerprint, 'source', source, 'function_name', function_name,
        'event', event
    ) AS job
FROM retrofill.job WHERE job_id = %(job_id)s

-- name: dags_of
-- The DAGs whose DAG runs worked for a job, the one that did so last first.
SELECT dag_id
FROM retrofill.run JOIN retrofill.run_set USING (run_id)
WHERE run.job_id = %(job_id)s
GROUP BY dag_id ORDER BY max(run_id) DESC, dag_id
