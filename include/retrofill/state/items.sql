-- name: find_placed
-- The next items after a place that are in the results cache or in quarantine, in order.
SELECT * FROM (
    (SELECT
        item_key AS key, identifier::text AS identifier, 'results' AS place, run_id, attempts,
        settled_at AS at, '' AS error_type
    FROM retrofill.results
    WHERE job_id = %(job_id)s
        AND (item_key, identifier) > (%(after)s, %(after_identifier)s::uuid) AND item_key < %(end)s
    ORDER BY item_key, identifier LIMIT (SELECT %(most)s))
    UNION ALL
    (SELECT
        item_key, identifier::text, 'quarantine', run_id, attempts, quarantined_at,
        left(error_type, %(error_chars)s)
    FROM retrofill.quarantine
    WHERE job_id = %(job_id)s
        AND (item_key, identifier) > (%(after)s, %(after_identifier)s::uuid) AND item_key < %(end)s
    ORDER BY item_key, identifier LIMIT (SELECT %(most)s))
) AS found ORDER BY key COLLATE "C", identifier LIMIT (SELECT %(most)s)

-- name: list_extents
-- The extents whose keys may be in a range, those with the first keys first.
SELECT first_seq, last_seq FROM retrofill.extent
WHERE job_id = %(job_id)s AND last_key >= %(after)s AND first_key < %(end)s
ORDER BY first_key, first_seq LIMIT (SELECT %(extents)s)

-- name: find_in_process
-- The next items in process in a range of keys, within the given extents.
SELECT
    item_key AS key, identifier::text AS identifier, 'in_process' AS place, item.run_id,
    item.attempts, NULL::timestamptz AS at, '' AS error_type
FROM unnest(%(firsts)s::bigint[], %(lasts)s::bigint[]) AS extent (first_seq, last_seq)
CROSS JOIN LATERAL (
    SELECT item_key, identifier, run_id, attempts FROM retrofill.in_process
    WHERE job_id = %(job_id)s AND seq BETWEEN extent.first_seq AND extent.last_seq
    OFFSET 0
) AS item
WHERE (item_key, identifier) > (%(after)s, %(after_identifier)s::uuid) AND item_key < %(end)s
ORDER BY item_key, identifier LIMIT (SELECT %(most)s)

-- name: get_settled
-- An item in the results cache or in quarantine.
SELECT
    'results' AS place, run_id, batch_id, call_no, NULL::bigint AS seq, attempts,
    NULL::integer AS failures, NULL::boolean AS unsure, settled_at AS at, '' AS request_id,
    '' AS error_type, '' AS error, '' AS content, NULL::timestamptz AS not_before
FROM retrofill.results
WHERE job_id = %(job_id)s AND item_key = %(key)s AND identifier = %(identifier)s::uuid
UNION ALL
SELECT
    'quarantine', run_id, batch_id, call_no, seq, attempts, failures, unsure, quarantined_at,
    request_id, error_type, error, left(content, %(content_chars)s), NULL
FROM retrofill.quarantine
WHERE job_id = %(job_id)s AND item_key = %(key)s AND identifier = %(identifier)s::uuid

-- name: get_in_process
-- An item in process, within the given extents.
SELECT
    'in_process' AS place, item.run_id, NULL::bigint AS batch_id, NULL::integer AS call_no, seq,
    attempts, failures, unsure, NULL::timestamptz AS at, '' AS request_id, '' AS error_type,
    '' AS error, left(content, %(content_chars)s) AS content, not_before
FROM unnest(%(firsts)s::bigint[], %(lasts)s::bigint[]) AS extent (first_seq, last_seq)
CROSS JOIN LATERAL (
    SELECT * FROM retrofill.in_process
    WHERE job_id = %(job_id)s AND seq BETWEEN extent.first_seq AND extent.last_seq
    OFFSET 0
) AS item
WHERE item_key = %(key)s AND identifier = %(identifier)s::uuid
LIMIT 1

-- name: list_redriven
-- An item as it was each time when it was redriven, the oldest first.
SELECT
    run_id, quarantined_by, batch_id, call_no, attempts, failures, unsure, request_id, error_type,
    error, quarantined_at, redriven_at, settled_by, settled_at
FROM retrofill.redriven
WHERE job_id = %(job_id)s AND item_key = %(key)s AND identifier = %(identifier)s::uuid
ORDER BY redriven_at

-- name: list_versions
-- The other versions of a key that are in the results cache or in quarantine.
(SELECT identifier::text AS identifier, 'results' AS place, run_id, settled_at AS at
FROM retrofill.results
WHERE job_id = %(job_id)s AND item_key = %(key)s AND identifier <> %(identifier)s::uuid
ORDER BY identifier LIMIT (SELECT %(most)s))
UNION ALL
(SELECT identifier::text, 'quarantine', run_id, quarantined_at
FROM retrofill.quarantine
WHERE job_id = %(job_id)s AND item_key = %(key)s AND identifier <> %(identifier)s::uuid
ORDER BY identifier LIMIT (SELECT %(most)s))
ORDER BY at DESC

-- name: get_numbers
-- The numbers of the items that a call carried.
SELECT items::text AS items FROM retrofill.invocation
WHERE batch_id = %(batch_id)s AND call_no = %(call_no)s

-- name: list_calls
-- The calls of a job that carried one of the given numbers, the oldest first.
-- It reads only batches that hold one of them.
SELECT
    batch.run_id, batch.batch_id, call_no, item_count AS items, attempt,
    outcome::text AS outcome, sent_at, ended_at,
    extract(epoch FROM coalesce(ended_at, clock_timestamp()) - sent_at)::float AS took_s,
    coalesce(request_id, '') AS request_id, coalesce(executed_version, '') AS version,
    left(error_type, %(error_chars)s) AS error_type, left(error, %(error_chars)s) AS error,
    call.items @> %(numbers)s::int8multirange AS is_sure, its_set.dag_id, its_set.dag_run_id,
    batch.task_id, batch.map_index
FROM retrofill.run CROSS JOIN LATERAL (
    SELECT run_id, batch_id, set_no, task_id, map_index FROM retrofill.batch
    WHERE batch.run_id = run.run_id
        AND int8range(first_seq, last_seq, '[]') && %(numbers)s::int8multirange
    OFFSET 0
) AS batch
CROSS JOIN LATERAL (
    SELECT dag_id, dag_run_id FROM retrofill.run_set
    WHERE run_set.run_id = batch.run_id AND run_set.set_no = batch.set_no
    OFFSET 0
) AS its_set
CROSS JOIN LATERAL (
    SELECT * FROM retrofill.invocation
    WHERE invocation.batch_id = batch.batch_id AND invocation.items && %(numbers)s::int8multirange
    OFFSET 0
) AS call
WHERE run.job_id = %(job_id)s
ORDER BY sent_at, batch.batch_id, call_no LIMIT (SELECT %(most)s)
