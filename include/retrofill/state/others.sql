-- name: count_others
-- Of the items that a run has listed and another has in process: how many each other run holds,
-- and whether they are free to be taken over: in no open batch, and their run is closed.
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
    holder AS run_id, sum(items)::bigint AS items, bool_or(loose AND run.state <> 'open') AS free
FROM waiting JOIN retrofill.run ON run.run_id = holder
WHERE holder <> %(run_id)s
GROUP BY holder ORDER BY holder

-- name: forget_awaited
DELETE FROM retrofill.awaited WHERE run_id = %(run_id)s

-- name: note_awaited
INSERT INTO retrofill.awaited (run_id, holder, items)
SELECT %(run_id)s, holder, items
FROM unnest(%(holders)s::bigint[], %(counts)s::bigint[]) AS other (holder, items)
