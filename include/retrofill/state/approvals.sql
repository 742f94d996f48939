-- name: ask
-- Has the plan of an open run wait for a person, unless one has turned it down.
-- Whoever asks again, as the task was cleared, counts the time it has waited so far.
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
-- Records what became of a plan that waits.
UPDATE retrofill.run SET
    approval = approval || jsonb_build_object(
        'status', %(status)s::text, 'by', %(by)s::text, 'at', clock_timestamp()
    ),
    waited = waited + (clock_timestamp() - (approval ->> 'asked_at')::timestamptz)
WHERE run_id = %(run_id)s AND status = 'open' AND approval ->> 'status' = 'waiting'

-- name: avoid
-- Takes the approval of an open run back, since what was approved would not be what runs.
UPDATE retrofill.run SET approval = approval || '{"status": "void"}'
WHERE run_id = %(run_id)s AND status = 'open' AND approval ->> 'status' = 'approved'

-- name: note_changes
-- Records how much of the source was modified after the run was opened.
UPDATE retrofill.run SET approval = approval || jsonb_build_object(
    'changed', %(changed)s::bigint, 'changed_more', %(more)s::boolean
)
WHERE run_id = %(run_id)s AND approval ->> 'status' = 'approved'

-- name: get_approval
-- What became of the plan of a run.
SELECT approval FROM retrofill.run WHERE run_id = %(run_id)s

-- name: list_extents
-- The next stretches of numbers that entered for a run, behind a number.
SELECT first_seq, last_seq FROM retrofill.extent
WHERE job_id = %(job_id)s AND first_seq > %(after)s AND run_id = %(run_id)s
ORDER BY first_seq LIMIT (SELECT %(extents)s)

-- name: break_extents
-- Marks stretches of numbers as no longer whole: items leave them.
UPDATE retrofill.extent SET whole = false
WHERE job_id = %(job_id)s AND first_seq = ANY(%(firsts)s::bigint[]) AND whole

-- name: list_kept
-- The numbers that may not leave, as one multirange: what others wait for, or have in a batch.
-- A closed run waits, too: when a person clears it, it must not be complete without these items.
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
-- Deletes what a run has enqueued and no call has carried, of some stretches of numbers.
-- OFFSET 0: each stretch is looked up by itself, whatever the planner believes of the table.
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
-- Puts back into quarantine what a run has redriven and no call has carried since.
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
                AND quarantined_by IS NOT NULL
            OFFSET 0
        ) AS before
        WHERE (item.attempts, item.unsure) = (before.attempts, before.unsure)
    ))
    RETURNING job_id, seq, item_key, identifier, content
),
said AS (
    DELETE FROM retrofill.redriven
    WHERE ctid = ANY(ARRAY(
        SELECT found.place FROM back CROSS JOIN LATERAL (
            SELECT ctid AS place FROM retrofill.redriven AS item
            WHERE item.job_id = back.job_id AND item.item_key = back.item_key
                AND item.identifier = back.identifier AND item.run_id = %(run_id)s
            OFFSET 0
        ) AS found
    ))
)
INSERT INTO retrofill.quarantine (
    job_id, item_key, identifier, run_id, batch_id, call_no, seq, content, attempts, failures,
    unsure, request_id, error_type, error, quarantined_at
)
SELECT
    back.job_id, back.item_key, back.identifier, before.quarantined_by, before.batch_id,
    before.call_no, back.seq, back.content, before.attempts, before.failures, before.unsure,
    before.request_id, before.error_type, before.error, before.quarantined_at
FROM back CROSS JOIN LATERAL (
    SELECT * FROM retrofill.redriven
    WHERE redriven.job_id = back.job_id AND redriven.item_key = back.item_key
        AND redriven.identifier = back.identifier AND redriven.run_id = %(run_id)s
    OFFSET 0
) AS before

-- name: mark_withdrawn
-- Records that all of a plan which nobody approved is withdrawn.
UPDATE retrofill.run SET approval = approval || '{"withdrawn": true}'
WHERE run_id = %(run_id)s

-- name: count_withdrawn
-- Adds to the number of items that a run's first set has withdrawn.
UPDATE retrofill.run_set SET withdrawn = withdrawn + %(count)s
WHERE run_id = %(run_id)s AND set_no = 1

-- name: give_back
-- Counts what a run had taken over and leaves to the next one as no longer taken over.
UPDATE retrofill.run_set SET resumed = resumed - least(resumed, (
    -- What was planned again, since a person has cleared that, is in two batches.
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
