-- name: limit_time
-- Limits the time of each statement of the transaction.
SELECT set_config('statement_timeout', %(timeout)s, true)

-- name: list_groups
-- A selection's items in quarantine by error; it reads a limited number of items of each error.
-- One look-up finds each error, after the one before. The expressions match the index that is made
-- for this. The examples are the last items of an error.
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
    named.name AS error_type, items, looked_at = %(most)s AS is_cut, unsure, first_at, last_at,
    keys, identifiers
FROM named CROSS JOIN LATERAL (
    SELECT
        count(*) AS looked_at, count(*) FILTER (WHERE is_chosen) AS items,
        count(*) FILTER (WHERE is_chosen AND looked.unsure) AS unsure,
        min(quarantined_at) FILTER (WHERE is_chosen) AS first_at,
        max(quarantined_at) FILTER (WHERE is_chosen) AS last_at,
        (array_agg(item_key) FILTER (WHERE is_chosen))[:%(examples)s] AS keys,
        (array_agg(identifier::text) FILTER (WHERE is_chosen))[:%(examples)s] AS identifiers
    FROM (
        SELECT
            item_key, identifier, unsure, quarantined_at,
            (%(error)s::text IS NULL OR error_type ~ %(error)s::text)
                AND item_key ~ ALL (%(keys)s::text[])
                AND (%(unsure)s::boolean IS NULL OR unsure = %(unsure)s::boolean)
                AND (%(version)s::text IS NULL OR %(version)s::text = ran.version) AS is_chosen
        FROM retrofill.quarantine AS item
        CROSS JOIN LATERAL retrofill.version_of(%(job_id)s, run_id, batch_id, call_no) AS ran
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
-- The given items in quarantine, in the given order.
SELECT
    left(error_type, 200) AS error_type, item.item_key AS key, item.identifier::text AS identifier,
    run_id, batch_id, call_no, content, attempts, unsure, request_id,
    left(error, %(error_chars)s) AS error, quarantined_at, version
FROM unnest(%(chosen)s::text[], %(identifiers)s::uuid[])
    WITH ORDINALITY AS chosen (item_key, identifier, no)
CROSS JOIN LATERAL (
    SELECT * FROM retrofill.quarantine AS item
    WHERE item.job_id = %(job_id)s AND item.item_key = chosen.item_key
        AND item.identifier = chosen.identifier
    OFFSET 0
) AS item
CROSS JOIN LATERAL retrofill.version_of(%(job_id)s, run_id, batch_id, call_no) AS ran
ORDER BY chosen.no

-- name: count_quarantined
-- How many items a selection has in quarantine.
SELECT count(*) FROM retrofill.quarantine AS item
CROSS JOIN LATERAL retrofill.version_of(%(job_id)s, run_id, batch_id, call_no) AS ran
WHERE job_id = %(job_id)s
    AND item_key >= %(first)s AND (%(behind)s::text IS NULL OR item_key < %(behind)s::text)
    AND item_key ~ ALL (%(keys)s::text[])
    AND quarantined_at >= coalesce(%(after)s::timestamptz, '-infinity')
    AND quarantined_at < coalesce(%(before)s::timestamptz, 'infinity')
    AND (%(error)s::text IS NULL OR error_type ~ %(error)s::text)
    AND (%(unsure)s::boolean IS NULL OR unsure = %(unsure)s::boolean)
    AND (%(version)s::text IS NULL OR %(version)s::text = ran.version)

-- name: count_succeeded
-- How many items a selection has in the results cache.
SELECT count(*) FROM retrofill.results AS item
CROSS JOIN LATERAL retrofill.version_of(%(job_id)s, run_id, batch_id, call_no) AS ran
WHERE job_id = %(job_id)s
    AND item_key >= %(first)s AND (%(behind)s::text IS NULL OR item_key < %(behind)s::text)
    AND item_key ~ ALL (%(keys)s::text[])
    AND settled_at >= coalesce(%(after)s::timestamptz, '-infinity')
    AND settled_at < coalesce(%(before)s::timestamptz, 'infinity')
    AND (%(version)s::text IS NULL OR %(version)s::text = ran.version)

-- name: list_worst
-- The errors that put most items of a run in quarantine, each with one item.
SELECT error_type, count(*) AS items, min(item_key) AS for_example
FROM retrofill.quarantine WHERE job_id = %(job_id)s AND run_id = %(run_id)s
GROUP BY error_type ORDER BY items DESC, error_type LIMIT %(most)s
