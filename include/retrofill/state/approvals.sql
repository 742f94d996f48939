-- name: ask
-- Makes the plan of an open run wait for an answer, unless it was rejected.
-- If the task was cleared and asks again, the time that the plan has waited so far counts.
UPDATE retrofill.run SET
    approval = jsonb_build_object(
        'status', 'waiting', 'mark', %(mark)s::text, 'asked_at', clock_timestamp(),
        'until', clock_timestamp() + make_interval(hours => %(hours)s)
    ),
    waited = waited + CASE
        WHEN approval ->> 'status' = 'waiting'
        THEN clock_timestamp() - (approval ->> 'asked_at')::timestamptz
        ELSE interval '0'
    END
WHERE run_id = %(run_id)s AND status = 'open'
    AND coalesce(approval ->> 'status', 'approved') IN ('waiting', 'approved')
RETURNING approval

-- name: answer
-- Records the answer to a plan that waits.
UPDATE retrofill.run SET
    approval = approval || jsonb_build_object(
        'status', %(status)s::text, 'by', %(by)s::text, 'at', clock_timestamp()
    ),
    waited = waited + (clock_timestamp() - (approval ->> 'asked_at')::timestamptz)
WHERE run_id = %(run_id)s AND status = 'open' AND approval ->> 'status' = 'waiting'

-- name: revoke
-- Voids the approval of an open run.
UPDATE retrofill.run SET approval = approval || '{"status": "void"}'
WHERE run_id = %(run_id)s AND status = 'open' AND approval ->> 'status' = 'approved'

-- name: note_changes
-- Records how many objects were modified after the run was opened.
UPDATE retrofill.run SET approval = approval || jsonb_build_object(
    'changed', %(changed)s::bigint, 'changed_more', %(more)s::boolean
)
WHERE run_id = %(run_id)s AND approval ->> 'status' = 'approved'

-- name: get_approval
-- The approval of a run.
SELECT approval FROM retrofill.run WHERE run_id = %(run_id)s

-- name: list_extents
-- The next extents of a run after a number.
SELECT first_seq, last_seq FROM retrofill.extent
WHERE job_id = %(job_id)s AND first_seq > %(after)s AND run_id = %(run_id)s
ORDER BY first_seq LIMIT (SELECT %(extents)s)

-- name: break_extents
-- Marks extents as no longer whole, because items leave them.
UPDATE retrofill.extent SET whole = false
WHERE job_id = %(job_id)s AND first_seq = ANY(%(firsts)s::bigint[]) AND whole

-- name: list_kept
-- The numbers of items that may not leave, because other runs wait for them or have them in a batch.
-- Closed runs wait too: if one is cleared, it must not be complete without these items.
SELECT coalesce(range_agg(items), '{}')::text FROM (
    SELECT elsewhere.items
    FROM retrofill.elsewhere
    WHERE elsewhere.run_id = ANY(ARRAY(
        SELECT run_id FROM retrofill.run
        WHERE job_id = %(job_id)s AND run_id <> %(run_id)s AND status <> 'complete'
            AND coalesce(approval ->> 'status', 'approved') IN ('waiting', 'approved')
    ))
    UNION ALL
    SELECT int8multirange(int8range(first_seq, last_seq, '[]')) FROM retrofill.batch
    WHERE job_id = %(job_id)s AND done_at IS NULL AND run_id <> %(run_id)s
) AS kept (items)

-- name: withdraw
-- Deletes the items of some extents that a run enqueued and no call has carried.
DELETE FROM retrofill.in_process
WHERE job_id = %(job_id)s AND seq = ANY(ARRAY(
    SELECT item.seq
    FROM unnest(%(firsts)s::bigint[], %(lasts)s::bigint[]) AS extent (first_seq, last_seq)
    CROSS JOIN LATERAL (
        SELECT seq FROM retrofill.in_process
        WHERE in_process.job_id = %(job_id)s AND seq BETWEEN extent.first_seq AND extent.last_seq
            AND run_id = %(run_id)s AND attempts = 0 AND NOT unsure
            AND NOT seq <@ %(kept)s::int8multirange
        OFFSET 0
    ) AS item
))

-- name: put_back
-- Moves items that a run redrove back to where they were, if no call has carried them since.
WITH back AS (
    DELETE FROM retrofill.in_process
    WHERE job_id = %(job_id)s AND seq = ANY(ARRAY(
        SELECT item.seq
        FROM unnest(%(firsts)s::bigint[], %(lasts)s::bigint[]) AS extent (first_seq, last_seq)
        CROSS JOIN LATERAL (
            SELECT seq, item_key, identifier, attempts, unsure FROM retrofill.in_process
            WHERE in_process.job_id = %(job_id)s
                AND seq BETWEEN extent.first_seq AND extent.last_seq AND run_id = %(run_id)s
                AND NOT seq <@ %(kept)s::int8multirange
            OFFSET 0
        ) AS item
        CROSS JOIN LATERAL (
            SELECT attempts, unsure FROM retrofill.redriven
            WHERE redriven.job_id = %(job_id)s AND redriven.item_key = item.item_key
                AND redriven.identifier = item.identifier AND redriven.run_id = %(run_id)s
            OFFSET 0
        ) AS before
        WHERE (item.attempts, item.unsure) = (before.attempts, before.unsure)
    ))
    RETURNING seq, item_key, identifier, content
),
remembered AS MATERIALIZED (
    SELECT back.seq, back.content, before.* FROM back CROSS JOIN LATERAL (
        SELECT ctid AS place, * FROM retrofill.redriven
        WHERE redriven.job_id = %(job_id)s AND redriven.item_key = back.item_key
            AND redriven.identifier = back.identifier AND redriven.run_id = %(run_id)s
        OFFSET 0
    ) AS before
),
forgotten AS (
    DELETE FROM retrofill.redriven WHERE ctid = ANY(ARRAY(SELECT place FROM remembered))
),
quarantined AS (
    INSERT INTO retrofill.quarantine (
        job_id, item_key, identifier, run_id, batch_id, call_no, seq, content, attempts, failures,
        unsure, request_id, error_type, error, quarantined_at
    )
    SELECT
        job_id, item_key, identifier, quarantined_by, batch_id, call_no, seq, content, attempts,
        failures, unsure, request_id, error_type, error, quarantined_at
    FROM remembered WHERE quarantined_by IS NOT NULL
),
succeeded AS (
    INSERT INTO retrofill.results (
        job_id, item_key, identifier, run_id, batch_id, call_no, attempts, settled_at
    )
    SELECT job_id, item_key, identifier, settled_by, batch_id, call_no, attempts, settled_at
    FROM remembered WHERE settled_by IS NOT NULL
)
SELECT count(quarantined_by) AS quarantined, count(settled_by) AS succeeded FROM remembered

-- name: mark_withdrawn
-- Records that all items of a rejected plan are withdrawn.
UPDATE retrofill.run SET approval = approval || '{"withdrawn": true}'
WHERE run_id = %(run_id)s

-- name: count_withdrawn
-- Adds to the withdrawn items of a run's first set.
UPDATE retrofill.run_set SET withdrawn = withdrawn + %(count)s
WHERE run_id = %(run_id)s AND set_no = 1

-- name: give_back
-- Subtracts items that a run had taken over and leaves to the next run.
UPDATE retrofill.run_set SET resumed = resumed - least(resumed, (
    -- An item whose planning was cleared is in two batches.
    SELECT count(DISTINCT left_behind.seq)
    FROM retrofill.batch CROSS JOIN LATERAL (
        SELECT seq FROM retrofill.in_process
        WHERE in_process.job_id = batch.job_id
            AND seq BETWEEN batch.first_seq AND batch.last_seq AND run_id <> %(run_id)s
        OFFSET 0
    ) AS left_behind
    WHERE batch.run_id = %(run_id)s
))
WHERE run_id = %(run_id)s AND set_no = 1
