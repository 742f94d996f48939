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
-- OFFSET 0: the sets of each run are looked up, whatever the planner believes of the table.
SELECT dag_id
FROM retrofill.run CROSS JOIN LATERAL (
    SELECT dag_id FROM retrofill.run_set WHERE run_set.run_id = run.run_id
    OFFSET 0
) AS its_set
WHERE run.job_id = %(job_id)s
GROUP BY dag_id ORDER BY max(run_id) DESC, dag_id

-- name: list_dags
-- Each DAG whose DAG runs worked for any job, by leaps over the index.
WITH RECURSIVE dag AS (
    (SELECT dag_id FROM retrofill.run_set ORDER BY dag_id LIMIT 1)
    UNION ALL
    SELECT (
        SELECT run_set.dag_id FROM retrofill.run_set
        WHERE run_set.dag_id > dag.dag_id ORDER BY run_set.dag_id LIMIT 1
    )
    FROM dag WHERE dag.dag_id IS NOT NULL
)
SELECT dag_id FROM dag WHERE dag_id IS NOT NULL

-- name: list_jobs
-- Some of the jobs, each with the run that tells how it is: its newest open one, or else its newest.
-- No job is counted for which a DAG run of a hidden DAG worked. Those come first that need a person,
-- as the ranks of all situations have it. BETWEEN, ORDER BY and OFFSET 0: so one run and one
-- item of quarantine are looked up, whatever the planner believes of the tables.
WITH told AS (
    SELECT
        job.job_id, job.name AS job, job.source, job.function_name, job.event,
        job.forgotten_at IS NOT NULL AS being_forgotten,
        (
            SELECT attempts FROM retrofill.quarantine WHERE quarantine.job_id = job.job_id
            ORDER BY item_key, identifier LIMIT 1
        ) IS NOT NULL AS quarantines,
        run.run_id, run.status::text AS status, run.opened_at, run.closed_at, run.stop_reason,
        run.function ->> 'version' AS function_version,
        run.approval ->> 'status' AS approval, (run.limits -> 'paused')::boolean AS paused,
        last_set.dag_id, last_set.dag_run_id,
        run.status = 'open' AND EXISTS (
            SELECT FROM retrofill.batch
            WHERE batch.run_id = run.run_id AND done_at IS NULL AND leased_until > clock_timestamp()
        ) AS held,
        clock_timestamp() AS read_at,
        coalesce(run.closed_at, run.opened_at, job.created_at) AS last_at
    FROM retrofill.job
    LEFT JOIN LATERAL (
        SELECT run_id FROM retrofill.run
        WHERE (job_id, run_id) BETWEEN (job.job_id, 0) AND (job.job_id, %(last)s)
            AND run.status = 'open'
        ORDER BY job_id DESC, run_id DESC LIMIT 1
    ) AS open ON true
    LEFT JOIN LATERAL (
        SELECT run_id FROM retrofill.run
        WHERE (job_id, run_id) BETWEEN (job.job_id, 0) AND (job.job_id, %(last)s)
        ORDER BY job_id DESC, run_id DESC LIMIT 1
    ) AS newest ON true
    LEFT JOIN LATERAL (
        SELECT * FROM retrofill.run WHERE run.run_id = coalesce(open.run_id, newest.run_id)
        OFFSET 0
    ) AS run ON true
    LEFT JOIN LATERAL (
        SELECT dag_id, dag_run_id FROM retrofill.run_set
        WHERE run_set.run_id = run.run_id ORDER BY set_no DESC LIMIT 1
    ) AS last_set ON true
    WHERE (%(search)s = '' OR strpos(
        lower(concat_ws(' ', job.name, job.source, job.function_name)), lower(%(search)s)
    ) > 0) AND (%(hidden)s::text[] = '{}' OR NOT EXISTS (
        SELECT FROM retrofill.run AS any_run CROSS JOIN LATERAL (
            SELECT dag_id FROM retrofill.run_set WHERE run_set.run_id = any_run.run_id
            OFFSET 0
        ) AS its_set
        WHERE any_run.job_id = job.job_id AND its_set.dag_id = ANY(%(hidden)s::text[])
    ))
),
ranked AS MATERIALIZED (
    SELECT told.*, (%(ranks)s::jsonb ->> concat(
        coalesce(status, 'never'), (open AND approval IS NOT DISTINCT FROM 'waiting')::integer,
        (open AND stop_reason IS NOT NULL)::integer, (open AND paused)::integer,
        (open AND (held OR coalesce(%(alive)s::jsonb -> dag_id ? dag_run_id, false)))::integer,
        (open AND dag_id = ANY(%(paused)s::text[]))::integer, quarantines::integer,
        (coalesce(dag_id, '') = ANY(%(off)s::text[]))::integer
    ))::integer AS rank
    FROM told CROSS JOIN LATERAL (SELECT status IS NOT DISTINCT FROM 'open' AS open) AS how
),
fitting AS MATERIALIZED (
    SELECT * FROM ranked WHERE CASE %(show)s
        WHEN 'needs' THEN rank < %(least)s WHEN 'open' THEN status = 'open'
        WHEN 'quarantine' THEN quarantines WHEN 'never' THEN run_id IS NULL
        WHEN 'incomplete' THEN status = 'incomplete' WHEN 'complete' THEN status = 'complete'
        ELSE true
    END
)
SELECT
    (SELECT count(*) FROM ranked) AS in_all,
    (SELECT count(*) FROM ranked WHERE rank < %(least)s) AS needing,
    (SELECT count(*) FROM fitting) AS of,
    (
        SELECT coalesce(jsonb_agg(to_jsonb(line) - '{rank, last_at}'::text[]), '[]') FROM (
            SELECT * FROM fitting ORDER BY rank, last_at DESC, job_id
            LIMIT %(most)s OFFSET %(offset)s
        ) AS line
    ) AS lines

-- name: count_quarantined
-- How many items of each of some jobs wait in quarantine, up to so many.
SELECT job_id, waiting.items
FROM unnest(%(job_ids)s::integer[]) AS asked (job_id)
CROSS JOIN LATERAL (
    SELECT count(*) AS items FROM (
        SELECT FROM retrofill.quarantine WHERE quarantine.job_id = asked.job_id
        ORDER BY item_key, identifier LIMIT (SELECT %(most)s)
    ) AS each_item
) AS waiting

-- name: count_jobs
-- What jobs and one run of each have done, by the sums that sets, partitions and batches keep.
-- OFFSET 0: the batches of each run are looked up, whatever the planner believes of the table.
SELECT
    asked.job_id,
    coalesce(parts.new, 0) + coalesce(sets.added, 0) AS total,
    coalesce(work.succeeded, 0) AS succeeded, coalesce(work.quarantined, 0) AS quarantined,
    known.zero + work.cost AS cost, (
        SELECT sum(each_run.cost) FROM retrofill.run CROSS JOIN LATERAL (
            SELECT sum(cost) AS cost FROM retrofill.batch WHERE batch.run_id = run.run_id
            OFFSET 0
        ) AS each_run
        WHERE run.job_id = asked.job_id AND run.price ->> 'most_per_call' IS NOT NULL
    ) AS cost_in_all
FROM unnest(%(job_ids)s::integer[], %(run_ids)s::bigint[]) AS asked (job_id, run_id)
LEFT JOIN LATERAL (
    SELECT sum(new)::bigint AS new FROM retrofill.partition
    WHERE partition.run_id = asked.run_id
) AS parts ON true
LEFT JOIN LATERAL (
    SELECT sum(resumed + redriven - withdrawn)::bigint AS added FROM retrofill.run_set
    WHERE run_set.run_id = asked.run_id
) AS sets ON true
LEFT JOIN LATERAL (
    SELECT sum(succeeded) AS succeeded, sum(quarantined) AS quarantined, sum(cost) AS cost
    FROM retrofill.batch WHERE batch.run_id = asked.run_id
) AS work ON true
LEFT JOIN LATERAL (
    SELECT 0 * (price ->> 'most_per_call')::float AS zero FROM retrofill.run
    WHERE run.run_id = asked.run_id
) AS known ON true

-- name: list_runs
-- The next runs of a job before a number, the newest first, and what each has done.
SELECT
    run_id, status::text AS status, opened_at, closed_at, stop_reason, source,
    function ->> 'version' AS function_version, approval ->> 'status' AS approval,
    (limits -> 'paused')::boolean AS paused,
    nullif(config ->> 'redrive', 'none') AS redrive,
    last_set.dag_id, last_set.dag_run_id,
    coalesce(parts.listed, 0) AS listed, coalesce(parts.partitions_left, 0) AS partitions_left,
    coalesce(parts.new, 0) + coalesce(sets.added, 0) AS total,
    coalesce(work.succeeded, 0) AS succeeded, coalesce(work.quarantined, 0) AS quarantined,
    coalesce(work.calls, 0) AS calls,
    0 * (price ->> 'most_per_call')::float + coalesce(work.cost, 0) AS cost,
    coalesce(work.held, false) AS held,
    coalesce(others.runs, '[]') AS others
FROM (
    SELECT * FROM retrofill.run
    WHERE job_id = %(job_id)s AND run_id < %(before)s ORDER BY run_id DESC LIMIT (SELECT %(most)s)
) AS run
LEFT JOIN LATERAL (
    SELECT
        sum(new)::bigint AS new, sum(listed)::bigint AS listed,
        count(*) FILTER (WHERE NOT done) AS partitions_left
    FROM retrofill.partition WHERE partition.run_id = run.run_id
) AS parts ON true
LEFT JOIN LATERAL (
    SELECT sum(resumed + redriven - withdrawn)::bigint AS added FROM retrofill.run_set
    WHERE run_set.run_id = run.run_id
) AS sets ON true
LEFT JOIN LATERAL (
    SELECT dag_id, dag_run_id FROM retrofill.run_set
    WHERE run_set.run_id = run.run_id ORDER BY set_no DESC LIMIT 1
) AS last_set ON true
LEFT JOIN LATERAL (
    SELECT
        sum(succeeded) AS succeeded, sum(quarantined) AS quarantined, sum(calls) AS calls,
        sum(cost) AS cost, bool_or(done_at IS NULL AND leased_until > clock_timestamp()) AS held
    FROM retrofill.batch WHERE batch.run_id = run.run_id
) AS work ON true
LEFT JOIN LATERAL (
    SELECT jsonb_agg(jsonb_build_object(
        'run_id', holder, 'status', holding.status, 'items', awaited.items
    ) ORDER BY holder) AS runs
    FROM retrofill.awaited LEFT JOIN retrofill.run AS holding ON holding.run_id = holder
    WHERE awaited.run_id = run.run_id
) AS others ON true
ORDER BY run_id DESC

-- name: get_totals
-- What all runs of a job have done together.
-- What a run resumed, another had taken: it is counted there.
SELECT
    count(*) AS runs, count(*) FILTER (WHERE status = 'complete') AS complete,
    coalesce(sum(parts.listed), 0)::bigint AS listed, coalesce(sum(parts.new), 0)::bigint AS new,
    coalesce(sum(sets.redriven), 0)::bigint AS redriven,
    coalesce(sum(sets.withdrawn), 0)::bigint AS withdrawn,
    coalesce(sum(work.succeeded), 0)::bigint AS succeeded,
    coalesce(sum(work.quarantined), 0)::bigint AS quarantined,
    coalesce(sum(work.calls), 0)::bigint AS calls,
    sum(0 * (price ->> 'most_per_call')::float + coalesce(work.cost, 0)) AS cost,
    count(*) FILTER (WHERE price ->> 'most_per_call' IS NULL AND work.calls > 0) AS of_unknown_cost
FROM retrofill.run
LEFT JOIN LATERAL (
    SELECT sum(new) AS new, sum(listed) AS listed
    FROM retrofill.partition WHERE partition.run_id = run.run_id
) AS parts ON true
LEFT JOIN LATERAL (
    SELECT sum(redriven) AS redriven, sum(withdrawn) AS withdrawn
    FROM retrofill.run_set WHERE run_set.run_id = run.run_id
) AS sets ON true
LEFT JOIN LATERAL (
    SELECT
        sum(succeeded) AS succeeded, sum(quarantined) AS quarantined, sum(calls) AS calls,
        sum(cost) AS cost
    FROM retrofill.batch WHERE batch.run_id = run.run_id
) AS work ON true
WHERE run.job_id = %(job_id)s
