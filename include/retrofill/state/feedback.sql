-- name: note_later
-- Notes items that a run has left out since they were modified after it was opened.
INSERT INTO retrofill.later (run_id, part_no, item_key, content)
SELECT %(run_id)s, %(part_no)s, item_key, content
FROM unnest(%(keys)s::text[], %(contents)s::text[]) AS item (item_key, content)
ON CONFLICT DO NOTHING

-- name: list_later
-- Some of the items that a run has left out so, the same of each stretch of keys.
SELECT item_key, content FROM (
    SELECT
        item_key, content, row_number() OVER (ORDER BY item_key, part_no) AS place,
        count(*) OVER () AS items
    FROM retrofill.later WHERE run_id = %(run_id)s
) AS noted
WHERE mod(place, greatest(items / %(most)s, 1)) = 0
ORDER BY item_key LIMIT %(most)s

-- name: list_open_runs
-- The other open runs of the job; each owns what it has in process.
SELECT run_id FROM retrofill.run
WHERE job_id = %(job_id)s AND run_id <> %(run_id)s AND status = 'open'

-- name: list_untouched
-- The stretches of items that nobody has planned yet, and whether another run waits for some.
-- One that was closed waits, too: when it is cleared, it must not be complete without them.
-- What was redriven is not new; what a batch holds was planned, by whatever numbers it entered.
WITH planned AS MATERIALIZED (
    SELECT coalesce(range_agg(int8range(first_seq, last_seq, '[]')), '{}') AS numbers
    FROM retrofill.batch
    WHERE run_id = ANY(ARRAY(
        SELECT run_id FROM retrofill.extent WHERE job_id = %(job_id)s AND whole
    ))
)
SELECT
    extent.first_seq, extent.last_seq, extent.run_id = %(run_id)s AS own,
    int8range(first_seq, last_seq, '[]') && (
        SELECT coalesce(range_agg(items), '{}') FROM retrofill.elsewhere
        WHERE elsewhere.run_id = ANY(ARRAY(
            SELECT run_id FROM retrofill.run
            WHERE job_id = %(job_id)s AND run_id <> %(run_id)s AND status <> 'complete'
                AND coalesce(approval ->> 'status', 'approved') IN ('waiting', 'approved')
        ))
    ) AS awaited
FROM retrofill.extent
WHERE extent.job_id = %(job_id)s AND extent.whole
    AND extent.run_id <> ALL(%(others)s::bigint[])
    AND extent.run_id <> ALL(ARRAY(
        SELECT run_id FROM retrofill.run
        WHERE job_id = %(job_id)s AND config ->> 'redrive' = 'quarantine'
    ))
    AND NOT int8range(first_seq, last_seq, '[]') && (SELECT numbers FROM planned)
ORDER BY extent.first_seq

-- name: load_sample
-- Items in process, by their numbers.
-- OFFSET 0: each is looked up by itself, whatever the planner believes of the table.
SELECT item.item_key, item.content
FROM unnest(%(seqs)s::bigint[]) AS asked (seq) CROSS JOIN LATERAL (
    SELECT item_key, content FROM retrofill.in_process
    WHERE job_id = %(job_id)s AND in_process.seq = asked.seq
    OFFSET 0
) AS item

-- name: list_kin
-- The jobs that call the same function over the same source, the one that asks first.
SELECT job_id FROM retrofill.job
WHERE (source, function_name) = (
    SELECT source, function_name FROM retrofill.job WHERE job_id = %(job_id)s
)
ORDER BY job_id <> %(job_id)s, job_id DESC LIMIT %(jobs)s

-- name: list_callings
-- When the last runs of some jobs called, of those that ended after a moment.
SELECT run.run_id, called.began, run.ended, called.calls, called.items
FROM (
    SELECT run_id, coalesce(closed_at, clock_timestamp()) AS ended FROM retrofill.run
    WHERE job_id = ANY(%(jobs)s::integer[])
        AND coalesce(closed_at, 'infinity') >= %(since)s::timestamptz
    ORDER BY run_id DESC LIMIT %(most)s
) AS run
CROSS JOIN LATERAL (
    SELECT
        min(planned_at) AS began, sum(calls_succeeded)::bigint AS calls,
        sum(succeeded)::bigint AS items, sum(batch.calls) AS made
    FROM retrofill.batch WHERE batch.run_id = run.run_id
) AS called
WHERE called.made > 0
ORDER BY run.run_id DESC

-- name: list_folders
-- The first folders within some folders, among what some jobs have processed.
-- From each key that is found the next look-up is behind all keys of its folder: '0' follows '/'.
WITH RECURSIVE walk AS (
    SELECT
        job_id, parent COLLATE "C" AS parent, parent COLLATE "C" AS after,
        '' COLLATE "C" AS found, 0 AS step
    FROM unnest(%(jobs)s::integer[]) AS kin (job_id)
    CROSS JOIN unnest(%(parents)s::text[]) AS asked (parent)
    UNION ALL
    SELECT
        walk.job_id, walk.parent,
        CASE
            WHEN strpos(rest.key, '/') > 0 THEN walk.parent || split_part(rest.key, '/', 1) || '0'
            ELSE following.item_key || ' '
        END,
        rest.key, walk.step + 1
    FROM walk CROSS JOIN LATERAL (
        SELECT item_key FROM retrofill.results
        WHERE results.job_id = walk.job_id AND item_key >= walk.after COLLATE "C"
        ORDER BY item_key, identifier LIMIT 1
    ) AS following
    CROSS JOIN LATERAL (
        SELECT substr(following.item_key, length(walk.parent) + 1) AS key
    ) AS rest
    WHERE walk.step < %(steps)s AND starts_with(following.item_key, walk.parent)
)
SELECT DISTINCT parent, split_part(found, '/', 1) AS folder
FROM walk WHERE strpos(found, '/') > 0
ORDER BY parent, folder

-- name: find_origins
-- Of some items, what they may have been made of.
-- That is an item of one of the names given for each, as it is or with an extension; if there is
-- one, an item that was called while that was written.
-- The limits keep the planner, whatever it knows of the tables, at one index scan for each name.
SELECT DISTINCT ON (asked.no) asked.no, origin.item_key, called.in_time
FROM unnest(%(nos)s::integer[], %(stems)s::text[], %(modified)s::timestamptz[])
    WITH ORDINALITY AS asked (no, stem, modified, place)
CROSS JOIN unnest(%(jobs)s::integer[]) AS kin (job_id)
CROSS JOIN LATERAL (
    (
        SELECT item_key, batch_id, call_no, settled_at FROM retrofill.results
        WHERE results.job_id = kin.job_id AND item_key = asked.stem COLLATE "C"
        ORDER BY item_key, identifier LIMIT %(each)s
    ) UNION ALL (
        SELECT item_key, batch_id, call_no, settled_at FROM retrofill.results
        WHERE results.job_id = kin.job_id AND item_key > (asked.stem || '.') COLLATE "C"
            AND item_key < (asked.stem || '/') COLLATE "C"
        ORDER BY item_key, identifier LIMIT %(each)s
    ) UNION ALL (
        SELECT item_key, batch_id, call_no, quarantined_at FROM retrofill.quarantine
        WHERE quarantine.job_id = kin.job_id AND item_key = asked.stem COLLATE "C"
        ORDER BY item_key, identifier LIMIT %(each)s
    ) UNION ALL (
        SELECT item_key, batch_id, call_no, quarantined_at FROM retrofill.quarantine
        WHERE quarantine.job_id = kin.job_id AND item_key > (asked.stem || '.') COLLATE "C"
            AND item_key < (asked.stem || '/') COLLATE "C"
        ORDER BY item_key, identifier LIMIT %(each)s
    )
) AS origin (item_key, batch_id, call_no, settled_at)
LEFT JOIN LATERAL (
    -- Calls are forgotten after a while; then the function's timeout tells.
    SELECT sent_at FROM retrofill.invocation
    WHERE invocation.batch_id = origin.batch_id AND invocation.call_no = origin.call_no
    OFFSET 0
) AS call ON true
CROSS JOIN LATERAL (
    SELECT asked.modified BETWEEN
        coalesce(call.sent_at, origin.settled_at - make_interval(secs => %(timeout_s)s))
            - make_interval(secs => %(before_s)s)
        AND origin.settled_at + make_interval(secs => %(after_s)s) AS in_time
) AS called
ORDER BY asked.no, called.in_time DESC, asked.place

-- name: get_pace
-- When the calls of a run that succeeded were sent, and when they ended, at some shares of them.
SELECT
    percentile_disc(%(shares)s::float[]) WITHIN GROUP (ORDER BY sent_at) AS sent,
    percentile_disc(%(shares)s::float[]) WITHIN GROUP (ORDER BY ended_at) AS ended
FROM retrofill.batch CROSS JOIN LATERAL (
    SELECT sent_at, ended_at FROM retrofill.invocation
    WHERE invocation.batch_id = batch.batch_id AND outcome = 'succeeded'
    OFFSET 0
) AS call
WHERE batch.run_id = %(called)s

-- name: withdraw
-- Takes a stretch of items out of process.
DELETE FROM retrofill.in_process
WHERE job_id = %(job_id)s AND seq BETWEEN %(first_seq)s AND %(last_seq)s

-- name: forget_extent
-- Forgets where a stretch lies.
DELETE FROM retrofill.extent WHERE job_id = %(job_id)s AND first_seq = %(first_seq)s

-- name: count_withdrawn
-- Adds to what a set has withdrawn, and to what it took over for that from earlier runs.
UPDATE retrofill.run_set SET
    withdrawn = withdrawn + %(withdrawn)s, resumed = resumed + %(resumed)s
WHERE run_id = %(run_id)s AND set_no = %(set_no)s
