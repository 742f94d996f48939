-- name: count_others
-- How many of a run's listed items each other run has in process, and whether some are free.
-- Free are items in no open batch whose run is closed: they may be taken over.
WITH listed AS (
    SELECT range_agg(items) AS items FROM retrofill.elsewhere WHERE run_id = %(run_id)s
),
held AS (
    SELECT run_id AS holder, range_agg(int8range(first_seq, last_seq, '[]')) AS items
    FROM retrofill.batch
    WHERE job_id = (SELECT job_id FROM retrofill.run WHERE run_id = %(run_id)s) AND done_at IS NULL
    GROUP BY run_id
),
part AS (
    SELECT held.holder, held.items * listed.items AS items FROM held CROSS JOIN listed
    UNION ALL
    SELECT NULL, listed.items - coalesce((SELECT range_agg(held.items) FROM held), '{}') FROM listed
),
waiting AS (
    SELECT coalesce(part.holder, item.run_id) AS holder, part.holder IS NULL AS loose, count(*) AS items
    FROM part CROSS JOIN LATERAL unnest(part.items) AS span CROSS JOIN LATERAL (
        -- OFFSET 0: each span is looked up by itself, whatever the planner believes of the table.
        SELECT in_process.run_id FROM retrofill.in_process
        WHERE job_id = (SELECT job_id FROM retrofill.run WHERE run_id = %(run_id)s)
            AND seq BETWEEN lower(span) AND upper(span) - 1
        OFFSET 0
    ) AS item
    GROUP BY 1, 2
)
SELECT
    holder AS run_id, sum(items)::bigint AS items, bool_or(loose AND run.status <> 'open') AS free
FROM waiting JOIN retrofill.run ON run.run_id = holder
WHERE holder <> %(run_id)s
GROUP BY holder ORDER BY holder

-- name: forget_awaited
-- Deletes what was noted of the runs that a run waits for.
DELETE FROM retrofill.awaited WHERE run_id = %(run_id)s

-- name: note_awaited
-- Notes which runs hold items that a run has listed, and how many.
INSERT INTO retrofill.awaited (run_id, holder, items)
SELECT %(run_id)s, holder, items
FROM unnest(%(holders)s::bigint[], %(counts)s::bigint[]) AS other (holder, items)
