-- name: forget_extents
-- Deletes the extents whose items have all left.
-- No join: whatever the planner believes of the table, it is one look-up for each extent.
DELETE FROM retrofill.extent
WHERE job_id = %(job_id)s AND NOT whole AND (
    SELECT seq FROM retrofill.in_process
    WHERE in_process.job_id = %(job_id)s AND seq BETWEEN first_seq AND last_seq
    ORDER BY seq LIMIT 1
) IS NULL

-- name: list_open_runs
-- The other open runs of the job; each owns what it has in process.
SELECT run_id FROM retrofill.run
WHERE job_id = %(job_id)s AND run_id <> %(run_id)s AND status = 'open'

-- name: list_pieces
-- The items that neither a batch nor another run owns, as pieces in order.
-- A batch is a range, so it may not reach over what somebody owns: another island begins there.
WITH owned AS MATERIALIZED (
    SELECT coalesce(range_agg(int8range(first_seq, last_seq, '[]')), '{}') AS numbers
    FROM (
        SELECT first_seq, last_seq FROM retrofill.batch
        WHERE job_id = %(job_id)s AND done_at IS NULL
        UNION ALL
        SELECT first_seq, last_seq FROM retrofill.extent
        WHERE job_id = %(job_id)s AND run_id = ANY(%(others)s::bigint[])
    ) AS taken
),
before AS MATERIALIZED (
    SELECT coalesce(range_agg(int8range(first_seq, last_seq, '[]')), '{}') AS numbers
    FROM retrofill.batch WHERE batch.run_id = %(run_id)s
),
free AS MATERIALIZED (
    SELECT
        int8multirange(int8range(first_seq, last_seq, '[]')) - (SELECT numbers FROM owned)
            AS numbers,
        run_id, whole, bytes, last_seq - first_seq + 1 AS entered
    FROM retrofill.extent WHERE job_id = %(job_id)s
),
found AS (
    SELECT
        lower(part) AS first_seq, upper(part) - 1 AS last_seq, run_id, whole, false AS wall,
        bytes, entered
    FROM free CROSS JOIN LATERAL unnest(free.numbers - (SELECT numbers FROM before)) AS part
    UNION ALL
    -- What the run has had in a batch is its own, whoever has listed it: it is resumed only once.
    SELECT lower(part), upper(part) - 1, %(run_id)s, whole, false, bytes, entered
    FROM free CROSS JOIN LATERAL unnest(free.numbers * (SELECT numbers FROM before)) AS part
    UNION ALL
    SELECT lower(part), upper(part) - 1, 0, true, true, 0, 1
    FROM unnest((SELECT numbers FROM owned)) AS part
),
placed AS (
    SELECT *, count(*) FILTER (WHERE wall) OVER (ORDER BY first_seq) AS island FROM found
)
SELECT
    piece.first_seq, piece.last_seq, piece.items, run_id, island,
    -- Exact where all of an extent is left, else by the mean of what entered.
    piece.items * bytes / entered AS bytes
FROM placed CROSS JOIN LATERAL (
    SELECT placed.first_seq, placed.last_seq, placed.last_seq - placed.first_seq + 1 AS items
    WHERE whole
    UNION ALL
    SELECT min(seq), max(seq), count(*)
    FROM retrofill.in_process
    WHERE NOT whole AND job_id = %(job_id)s
        AND seq BETWEEN placed.first_seq AND placed.last_seq
    HAVING count(*) > 0
    OFFSET 0
) AS piece
WHERE NOT wall
ORDER BY piece.first_seq

-- name: list_numbers
-- The number of the item at each given rank between two numbers; ranks count from 0.
SELECT item.seq
FROM unnest(%(firsts)s::bigint[], %(lasts)s::bigint[], %(ranks)s::bigint[])
    WITH ORDINALITY AS place (first_seq, last_seq, rank, no)
CROSS JOIN LATERAL (
    SELECT seq FROM retrofill.in_process
    WHERE job_id = %(job_id)s AND seq BETWEEN place.first_seq AND place.last_seq
    ORDER BY seq OFFSET place.rank LIMIT 1
) AS item
ORDER BY no

-- name: insert_batches
-- Adds the planned batches of a set.
INSERT INTO retrofill.batch (job_id, run_id, set_no, first_seq, last_seq, items, bytes)
SELECT %(job_id)s, %(run_id)s, %(set_no)s, first_seq, last_seq, items, bytes
FROM unnest(
    %(firsts)s::bigint[], %(lasts)s::bigint[], %(items)s::integer[], %(bytes)s::bigint[]
) AS planned (first_seq, last_seq, items, bytes)
ORDER BY first_seq

-- name: break_extents
-- Marks the extents that were planned: from now on, items may leave them.
UPDATE retrofill.extent SET whole = false
WHERE job_id = %(job_id)s AND whole AND run_id <> ALL(%(others)s::bigint[])

-- name: mark_planned
-- Records when a set was planned, and how many items it resumes.
UPDATE retrofill.run_set SET
    planned_at = coalesce(planned_at, clock_timestamp()), resumed = resumed + %(resumed)s
WHERE run_id = %(run_id)s AND set_no = %(set_no)s

-- name: list_batches
-- The batches of a set but for its canary, in the order of their items.
SELECT batch_id, items FROM retrofill.batch
WHERE run_id = %(run_id)s AND set_no = %(set_no)s AND NOT canary ORDER BY first_seq

-- name: release_batches
-- Closes the unfinished batches of a set, or of all sets of a run.
UPDATE retrofill.batch SET
    done_at = clock_timestamp(), epoch = epoch + 1, leased_until = NULL, wanted = 0, allotted = 0,
    lost_tasks = lost_tasks + (holder IS NOT NULL)::integer, holder = NULL
WHERE run_id = %(run_id)s AND set_no = coalesce(%(set_no)s, set_no) AND done_at IS NULL
RETURNING batch_id

-- name: is_held
-- Whether a task holds a batch of a set, or of any set of a run.
SELECT EXISTS (
    SELECT FROM retrofill.batch
    WHERE run_id = %(run_id)s AND done_at IS NULL AND leased_until > clock_timestamp()
)

-- name: is_open
-- Whether a run is open.
SELECT status = 'open' FROM retrofill.run WHERE run_id = %(run_id)s
