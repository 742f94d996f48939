-- name: lock_job
SELECT FROM retrofill.job WHERE job_id = %(job_id)s FOR NO KEY UPDATE

-- name: close_abandoned
WITH alive AS (
    SELECT run_id, set_no FROM retrofill.batch
    WHERE job_id = %(job_id)s
    GROUP BY run_id, set_no
    HAVING max(greatest(leased_until, done_at, planned_at))
        > clock_timestamp() - make_interval(secs => %(abandoned_after_s)s)
)
UPDATE retrofill.batch SET
    done_at = coalesce(leased_until, planned_at), epoch = epoch + 1, leased_until = NULL
WHERE job_id = %(job_id)s AND done_at IS NULL AND run_id <> %(run_id)s
    AND (run_id, set_no) NOT IN (SELECT run_id, set_no FROM alive)
RETURNING batch_id

-- name: forget_extents
-- No join: without statistics, the planner may read the whole job for each extent.
DELETE FROM retrofill.extent
WHERE job_id = %(job_id)s AND (
    SELECT seq FROM retrofill.in_process
    WHERE in_process.job_id = %(job_id)s
        AND seq BETWEEN extent_no * 10000 AND extent_no * 10000 + 9999
    LIMIT 1
) IS NULL

-- name: plan_batches
WITH at_work AS (
    SELECT run_id FROM retrofill.run
    WHERE job_id = %(job_id)s AND run_id <> %(run_id)s AND state = 'open'
        AND coalesce(
            (
                SELECT max(greatest(leased_until, done_at, planned_at))
                FROM retrofill.batch WHERE batch.run_id = run.run_id
            ),
            opened_at
        ) > clock_timestamp() - make_interval(secs => %(abandoned_after_s)s)
),
queued AS (
    SELECT seq, run_id, row_number() OVER (ORDER BY seq) AS rank
    FROM retrofill.in_process WHERE job_id = %(job_id)s
),
free AS (
    -- A batch is a range, so it must end where an item of another run stands: there the island,
    -- the number of such items before, is another one.
    SELECT
        seq, run_id, row_number() OVER (ORDER BY seq) - 1 AS place,
        rank - row_number() OVER (ORDER BY seq) AS island
    FROM queued
    WHERE run_id NOT IN (SELECT run_id FROM at_work) AND NOT EXISTS (
        SELECT FROM retrofill.batch
        WHERE batch.job_id = %(job_id)s AND batch.done_at IS NULL
            AND queued.seq BETWEEN batch.first_seq AND batch.last_seq
    )
),
size AS (
    SELECT
        greatest(
            least(%(most_items)s, ceil(count(*) / %(min_batches)s::numeric)),
            %(fewest_items)s,
            ceil(count(*) / %(max_batches)s::numeric)
        ) AS items
    FROM free
),
spans AS (
    SELECT
        min(seq) AS first_seq, max(seq) AS last_seq, count(*) AS items,
        count(*) FILTER (WHERE free.run_id <> %(run_id)s) AS resumed
    FROM free, size
    GROUP BY island, div(place, size.items)
),
planned AS (
    INSERT INTO retrofill.batch (job_id, run_id, set_no, first_seq, last_seq, items)
    SELECT %(job_id)s, %(run_id)s, %(set_no)s, first_seq, last_seq, items
    FROM spans ORDER BY first_seq
)
UPDATE retrofill.run_set SET
    planned_at = coalesce(planned_at, clock_timestamp()),
    resumed = run_set.resumed + coalesce((SELECT sum(spans.resumed) FROM spans), 0)
WHERE run_id = %(run_id)s AND set_no = %(set_no)s

-- name: list_batches
SELECT batch_id, items FROM retrofill.batch
WHERE run_id = %(run_id)s AND set_no = %(set_no)s ORDER BY first_seq

-- name: release_batches
UPDATE retrofill.batch SET
    done_at = clock_timestamp(), epoch = epoch + 1, leased_until = NULL, wanted = 0, allotted = 0
WHERE run_id = %(run_id)s AND set_no = coalesce(%(set_no)s, set_no) AND done_at IS NULL
RETURNING batch_id

-- name: lock_run
SELECT FROM retrofill.run WHERE run_id = %(run_id)s FOR NO KEY UPDATE

-- name: lock_batches
SELECT FROM retrofill.batch
WHERE run_id = %(run_id)s AND done_at IS NULL ORDER BY batch_id FOR NO KEY UPDATE

-- name: is_held
SELECT EXISTS (
    SELECT FROM retrofill.batch
    WHERE run_id = %(run_id)s AND set_no = coalesce(%(set_no)s, set_no) AND done_at IS NULL
        AND leased_until > clock_timestamp()
)

-- name: is_open
SELECT state = 'open' FROM retrofill.run WHERE run_id = %(run_id)s
