-- name: end_calls
-- Ends calls that are unsettled or lost, and returns their numbers.
-- Rows are changed by number without a join, here and below: a join could compare each row with each.
-- The planner looks up an array of unknown length in the index. The values of a call are in an object,
-- because the server searches an array of texts from its beginning.
UPDATE retrofill.invocation SET
    ended_at = clock_timestamp(),
    (
        outcome, request_id, executed_version, error_type, error, took_ms, billed_ms, memory_mb,
        init_ms, keys
    ) = (
        SELECT
            (how ->> 0)::retrofill.outcome, how ->> 1, how ->> 2, how ->> 3, how ->> 4,
            (how ->> 5)::integer, (how ->> 6)::integer, (how ->> 7)::integer,
            (how ->> 8)::integer, how -> 9
        FROM (SELECT %(ended)s::jsonb -> call_no::text AS how OFFSET 0) AS ended
    )
WHERE batch_id = %(batch_id)s
    AND call_no = ANY(ARRAY(SELECT unnest(%(call_nos)s::integer[])))
    AND (outcome IS NULL OR outcome = 'lost')
RETURNING call_no

-- name: count_ended
-- Adds succeeded items and calls, and refused calls, to the counts of a batch.
UPDATE retrofill.batch SET
    succeeded = succeeded + %(count)s, calls_succeeded = calls_succeeded + %(calls)s,
    items_answered = items_answered + %(items)s, refused = refused + %(refused)s
WHERE batch_id = %(batch_id)s

-- name: count_troubles
-- Adds failed calls to the counts of a batch by outcome and cause.
INSERT INTO retrofill.call_count AS count (
    batch_id, outcome, cause, calls, items, cost, last_calls
)
SELECT
    %(batch_id)s, outcome::retrofill.outcome, cause, calls, items, cost, last_calls::integer[]
FROM unnest(
    %(outcomes)s::text[], %(causes)s::text[], %(calls)s::bigint[], %(items)s::bigint[],
    %(costs)s::float[], %(last_calls)s::text[]
) AS ended (outcome, cause, calls, items, cost, last_calls)
ON CONFLICT (batch_id, outcome, cause) DO UPDATE SET
    calls = count.calls + excluded.calls, items = count.items + excluded.items,
    cost = count.cost + excluded.cost,
    last_at = CASE WHEN excluded.last_calls = '{}' THEN count.last_at ELSE excluded.last_at END,
    last_calls = (count.last_calls || excluded.last_calls)[
        cardinality(count.last_calls) + cardinality(excluded.last_calls) - %(calls_kept)s + 1:
    ]

-- name: count_quarantined
-- Adds to the quarantined items of a batch.
UPDATE retrofill.batch SET quarantined = quarantined + %(count)s WHERE batch_id = %(batch_id)s

-- name: settle_succeeded
-- Moves succeeded items to the results cache.
WITH done AS (
    -- One array of unknown length: the planner looks up the items by number, once, whatever it
    -- believes of the table. In the first minute of a first run it has no statistics.
    DELETE FROM retrofill.in_process
    WHERE job_id = %(job_id)s AND seq = ANY(ARRAY(
        SELECT generate_series(first_seq, last_seq)
        FROM unnest(%(firsts)s::bigint[], %(lasts)s::bigint[]) AS ok (first_seq, last_seq)
    ))
    RETURNING seq, item_key, identifier, attempts
)
INSERT INTO retrofill.results (
    job_id, item_key, identifier, run_id, batch_id, call_no, attempts, settled_at
)
SELECT
    %(job_id)s, item_key, identifier, %(run_id)s, %(batch_id)s,
    -- The spans are in ascending order and do not overlap.
    (%(call_nos)s::integer[])[width_bucket(seq, %(firsts)s::bigint[])],
    attempts + 1, clock_timestamp()
FROM done ORDER BY seq

-- name: settle_late
-- Moves succeeded items to the results cache, wherever they are since their batch was taken over.
WITH waited AS (
    DELETE FROM retrofill.in_process
    WHERE job_id = %(job_id)s AND seq = ANY(ARRAY(
        SELECT generate_series(first_seq, last_seq)
        FROM unnest(%(firsts)s::bigint[], %(lasts)s::bigint[]) AS ok (first_seq, last_seq)
    ))
    RETURNING seq, item_key, identifier, attempts
),
given_up AS (
    DELETE FROM retrofill.quarantine
    WHERE job_id = %(job_id)s
        AND seq <= (%(lasts)s::bigint[])[width_bucket(seq, %(firsts)s::bigint[])]
    RETURNING seq, item_key, identifier, attempts, batch_id
),
holding AS MATERIALIZED (
    -- The spans are in ascending order.
    SELECT batch_id, first_seq, last_seq FROM retrofill.batch
    WHERE job_id = %(job_id)s
        AND first_seq <= (%(lasts)s::bigint[])[cardinality(%(lasts)s::bigint[])]
        AND last_seq >= (%(firsts)s::bigint[])[1]
),
under_way AS MATERIALIZED (
    SELECT call.items FROM holding CROSS JOIN LATERAL (
        SELECT items FROM retrofill.invocation
        WHERE invocation.batch_id = holding.batch_id AND outcome IS NULL
        OFFSET 0
    ) AS call
),
done AS (
    SELECT
        seq, item_key, identifier,
        -- Another task may be calling the item again, and will not find it to count its attempt.
        attempts + (SELECT count(*) FROM under_way WHERE seq <@ items) AS attempts,
        -- The batch that has the item now counts it: the last one that was planned with it.
        coalesce(
            (SELECT max(batch_id) FROM holding WHERE seq BETWEEN first_seq AND last_seq),
            %(batch_id)s
        ) AS owner,
        0 AS given_up
    FROM waited
    UNION ALL
    SELECT seq, item_key, identifier, attempts, batch_id, 1 FROM given_up
),
moved AS (
    INSERT INTO retrofill.results (
        job_id, item_key, identifier, run_id, batch_id, call_no, attempts, settled_at
    )
    SELECT
        %(job_id)s, item_key, identifier, %(run_id)s, %(batch_id)s,
        (%(call_nos)s::integer[])[width_bucket(seq, %(firsts)s::bigint[])], attempts,
        clock_timestamp()
    FROM done ORDER BY seq
)
UPDATE retrofill.batch SET
    succeeded = succeeded + owned.items, quarantined = quarantined - owned.given_up
FROM (
    SELECT owner, count(*) AS items, sum(given_up) AS given_up FROM done GROUP BY owner
) AS owned
WHERE batch.batch_id = owned.owner

-- name: settle_quarantined
-- Moves items from the in-process cache to quarantine.
-- The numbers are in ascending order, so width_bucket finds an item's place in the other arrays.
WITH poison AS (
    DELETE FROM retrofill.in_process
    WHERE job_id = %(job_id)s AND seq = ANY(ARRAY(SELECT unnest(%(seqs)s::bigint[])))
    RETURNING
        seq, item_key, identifier, content,
        width_bucket(seq, %(seqs)s::bigint[]) AS at
)
INSERT INTO retrofill.quarantine (
    job_id, seq, item_key, identifier, run_id, batch_id, call_no, content, attempts,
    failures, unsure, request_id, error_type, error, quarantined_at
)
SELECT
    %(job_id)s, seq, item_key, identifier, %(run_id)s, %(batch_id)s, (%(call_nos)s::integer[])[at],
    content, (%(attempts)s::integer[])[at],
    (%(failures)s::integer[])[at], (%(unsures)s::boolean[])[at], (%(request_ids)s::text[])[at],
    (%(error_types)s::text[])[at], (%(errors)s::text[])[at], clock_timestamp()
FROM poison

-- name: settle_retried
-- Records attempts, failures and delays of items that will be retried.
UPDATE retrofill.in_process SET
    (attempts, failures, call_cap, unsure, blamed_by, not_before) = (
        SELECT
            (%(attempts)s::integer[])[at], (%(failures)s::integer[])[at],
            (%(call_caps)s::integer[])[at], (%(unsures)s::boolean[])[at],
            (%(blamed_bys)s::bigint[])[at],
            clock_timestamp() + make_interval(secs => (%(delays_s)s::float[])[at])
        FROM width_bucket(seq, %(seqs)s::bigint[]) AS at
    )
WHERE job_id = %(job_id)s AND seq = ANY(ARRAY(SELECT unnest(%(seqs)s::bigint[])))

-- name: note_errors
-- Records the error of a batch's blamed items, and hints about errors of its calls.
UPDATE retrofill.batch SET
    failing_as = CASE
        WHEN %(failing_as)s IS NULL THEN failing_as
        WHEN coalesce(failing_as, %(failing_as)s) = %(failing_as)s THEN %(failing_as)s
        ELSE ''
    END,
    hints = ARRAY(SELECT DISTINCT unnest(hints || %(hints)s::text[]))
WHERE batch_id = %(batch_id)s

-- name: write_ahead
-- Adds the calls that are sent next.
INSERT INTO retrofill.invocation (
    batch_id, call_no, epoch, items, item_count, attempt, duplicates
)
SELECT %(batch_id)s, call_no, %(epoch)s, items, item_count, attempt, duplicates
FROM unnest(
    %(call_nos)s::integer[], %(items)s::int8multirange[], %(item_counts)s::integer[],
    %(attempts)s::integer[], %(duplicates)s::integer[]
) AS call (call_no, items, item_count, attempt, duplicates)
