-- name: limit_time
-- Gives each statement of the transaction so much time.
SELECT set_config('statement_timeout', %(timeout)s, true)

-- name: read_in_order
-- Keeps this transaction to index scans, which read items in order.
-- Where the planner expects a row or two, a bitmap and a sort seem as cheap to it.
SET LOCAL enable_bitmapscan = off

-- name: list_groups
-- What is in quarantine of a selection, by error; of each error at most so many items are looked at.
-- The errors are found by one look-up each, behind the one before. The expressions lead to the index
-- that is made for this. A version that no call tells is that of its run.
WITH RECURSIVE named AS (
    (
        SELECT left(error_type, 200) COLLATE "C" AS name, 1 AS step FROM retrofill.quarantine
        WHERE job_id + 0 = %(job_id)s
        ORDER BY left(error_type, 200) COLLATE "C" LIMIT 1
    )
    UNION ALL
    SELECT following.name, named.step + 1
    FROM named CROSS JOIN LATERAL (
        SELECT left(error_type, 200) COLLATE "C" AS name FROM retrofill.quarantine
        WHERE job_id + 0 = %(job_id)s AND left(error_type, 200) COLLATE "C" > named.name
        ORDER BY left(error_type, 200) COLLATE "C" LIMIT 1
    ) AS following
    WHERE named.step < %(errors)s
)
SELECT
    named.name AS error_type, items, looked_at = %(most)s AS is_cut, unsure, first_at, last_at
FROM named CROSS JOIN LATERAL (
    SELECT
        count(*) AS looked_at, count(*) FILTER (WHERE is_chosen) AS items,
        count(*) FILTER (WHERE is_chosen AND looked.unsure) AS unsure,
        min(quarantined_at) FILTER (WHERE is_chosen) AS first_at,
        max(quarantined_at) FILTER (WHERE is_chosen) AS last_at
    FROM (
        SELECT
            unsure, quarantined_at,
            (%(error)s::text IS NULL OR error_type ~ %(error)s::text)
                AND item_key ~ ALL (%(keys)s::text[])
                AND (%(unsure)s::boolean IS NULL OR unsure = %(unsure)s::boolean)
                AND (%(version)s::text IS NULL OR %(version)s::text = coalesce(
                    (
                        SELECT nullif(executed_version, '') FROM retrofill.invocation AS call
                        WHERE call.batch_id = item.batch_id AND call.call_no = item.call_no
                    ),
                    (
                        SELECT jsonb_object_agg(run_id, function ->> 'version') FROM retrofill.run
                        WHERE job_id = %(job_id)s
                    ) ->> item.run_id::text
                )) AS is_chosen
        FROM retrofill.quarantine AS item
        WHERE job_id + 0 = %(job_id)s AND left(error_type, 200) COLLATE "C" = named.name
            AND quarantined_at AT TIME ZONE 'UTC'
                >= coalesce(%(after)s::timestamptz AT TIME ZONE 'UTC', '-infinity')
            AND quarantined_at AT TIME ZONE 'UTC'
                < coalesce(%(before)s::timestamptz AT TIME ZONE 'UTC', 'infinity')
        ORDER BY quarantined_at AT TIME ZONE 'UTC' DESC LIMIT (SELECT %(most)s)
    ) AS looked
) AS counted
WHERE items > 0
ORDER BY items DESC, named.name COLLATE "C"

-- name: list_examples
-- The last items in quarantine of a selection, some of each error, of those that are looked at.
SELECT example.*
FROM unnest(%(names)s::text[]) AS named (name) CROSS JOIN LATERAL (
    SELECT
        named.name AS error_type, item_key AS key, identifier::text AS identifier, run_id, batch_id, call_no,
        content, attempts, unsure, request_id, left(error, %(error_chars)s) AS error, quarantined_at,
        version
    FROM (
        SELECT item.*, coalesce(
            (
                SELECT nullif(executed_version, '') FROM retrofill.invocation AS call
                WHERE call.batch_id = item.batch_id AND call.call_no = item.call_no
            ),
            (
                SELECT jsonb_object_agg(run_id, function ->> 'version') FROM retrofill.run
                WHERE job_id = %(job_id)s
            ) ->> item.run_id::text
        ) AS version
        FROM retrofill.quarantine AS item
        WHERE job_id + 0 = %(job_id)s AND left(error_type, 200) COLLATE "C" = named.name COLLATE "C"
            AND quarantined_at AT TIME ZONE 'UTC'
                >= coalesce(%(after)s::timestamptz AT TIME ZONE 'UTC', '-infinity')
            AND quarantined_at AT TIME ZONE 'UTC'
                < coalesce(%(before)s::timestamptz AT TIME ZONE 'UTC', 'infinity')
        ORDER BY quarantined_at AT TIME ZONE 'UTC' DESC LIMIT (SELECT %(most)s)
    ) AS looked
    WHERE item_key ~ ALL (%(keys)s::text[])
        AND (%(error)s::text IS NULL OR error_type ~ %(error)s::text)
        AND (%(unsure)s::boolean IS NULL OR unsure = %(unsure)s::boolean)
        AND (%(version)s::text IS NULL OR version = %(version)s::text)
    ORDER BY quarantined_at DESC LIMIT (SELECT %(examples)s)
) AS example

-- name: count_quarantined
-- How many items of a job are in quarantine that a selection means.
SELECT count(*) FROM retrofill.quarantine AS item
WHERE job_id = %(job_id)s
    AND item_key >= %(first)s AND (%(behind)s::text IS NULL OR item_key < %(behind)s::text)
    AND item_key ~ ALL (%(keys)s::text[])
    AND quarantined_at >= coalesce(%(after)s::timestamptz, '-infinity')
    AND quarantined_at < coalesce(%(before)s::timestamptz, 'infinity')
    AND (%(error)s::text IS NULL OR error_type ~ %(error)s::text)
    AND (%(unsure)s::boolean IS NULL OR unsure = %(unsure)s::boolean)
    AND (%(version)s::text IS NULL OR %(version)s::text = coalesce(
        (
            SELECT nullif(executed_version, '') FROM retrofill.invocation AS call
            WHERE call.batch_id = item.batch_id AND call.call_no = item.call_no
        ),
        (
            SELECT jsonb_object_agg(run_id, function ->> 'version') FROM retrofill.run
            WHERE job_id = %(job_id)s
        ) ->> item.run_id::text
    ))

-- name: count_succeeded
-- How many items of a job have succeeded that a selection means.
SELECT count(*) FROM retrofill.results AS item
WHERE job_id = %(job_id)s
    AND item_key >= %(first)s AND (%(behind)s::text IS NULL OR item_key < %(behind)s::text)
    AND item_key ~ ALL (%(keys)s::text[])
    AND settled_at >= coalesce(%(after)s::timestamptz, '-infinity')
    AND settled_at < coalesce(%(before)s::timestamptz, 'infinity')
    AND (%(version)s::text IS NULL OR %(version)s::text = coalesce(
        (
            SELECT nullif(executed_version, '') FROM retrofill.invocation AS call
            WHERE call.batch_id = item.batch_id AND call.call_no = item.call_no
        ),
        (
            SELECT jsonb_object_agg(run_id, function ->> 'version') FROM retrofill.run
            WHERE job_id = %(job_id)s
        ) ->> item.run_id::text
    ))
