-- name: get_canary
-- The batch of the canary of a run.
SELECT batch_id, items FROM retrofill.batch WHERE run_id = %(run_id)s AND canary

-- name: has_batches
-- Whether a run has batches.
SELECT EXISTS (SELECT FROM retrofill.batch WHERE run_id = %(run_id)s)

-- name: get_awaited
-- The numbers of items that other runs of the job have listed and wait for.
-- One that was closed may be cleared, and must find them then.
SELECT coalesce(range_agg(items), '{}')::text
FROM retrofill.elsewhere JOIN retrofill.run USING (run_id)
WHERE job_id = %(job_id)s AND run_id <> %(run_id)s AND status <> 'complete'
    AND coalesce(approval ->> 'status', 'approved') IN ('waiting', 'approved')

-- name: list_seqs
-- The numbers of the items between two numbers.
SELECT seq FROM retrofill.in_process
WHERE job_id = %(job_id)s AND seq BETWEEN %(first_seq)s AND %(last_seq)s ORDER BY seq

-- name: list_sizes
-- Which of some numbers are items that no call has carried and nobody waits for, and their bytes.
SELECT seq, octet_length(content) AS bytes FROM retrofill.in_process
WHERE job_id = %(job_id)s AND seq = ANY(ARRAY(SELECT unnest(%(seqs)s::bigint[])))
    AND attempts = 0 AND not_before IS NULL AND NOT unsure
    AND NOT seq <@ %(awaited)s::int8multirange
ORDER BY seq

-- name: list_items
-- The items of some numbers, in order.
SELECT uuid_send(identifier) AS identifier, item_key AS key, content FROM retrofill.in_process
WHERE job_id = %(job_id)s AND seq = ANY(ARRAY(SELECT unnest(%(seqs)s::bigint[])))
ORDER BY seq

-- name: break_extents_of
-- Marks the extents that hold some numbers: items leave them.
UPDATE retrofill.extent SET whole = false
WHERE job_id = %(job_id)s AND first_seq = ANY(ARRAY(
    SELECT holding.first_seq
    FROM unnest(%(seqs)s::bigint[]) AS item (seq) CROSS JOIN LATERAL (
        SELECT first_seq FROM retrofill.extent
        WHERE extent.job_id = %(job_id)s AND extent.first_seq <= item.seq
        ORDER BY extent.first_seq DESC LIMIT 1
    ) AS holding
))

-- name: renumber
-- Gives items the next numbers, in their order; those of one run stay together.
WITH taken AS (
    DELETE FROM retrofill.in_process
    WHERE job_id = %(job_id)s AND seq = ANY(ARRAY(SELECT unnest(%(seqs)s::bigint[])))
    RETURNING *
),
numbered AS (
    SELECT *, %(next_seq)s - 1 + row_number() OVER (ORDER BY run_id, seq) AS number FROM taken
),
added AS (
    INSERT INTO retrofill.in_process (
        job_id, seq, run_id, identifier, item_key, content, unordered
    )
    SELECT job_id, number, run_id, identifier, item_key, content, unordered FROM numbered
)
SELECT seq, run_id, octet_length(content) AS bytes FROM numbered ORDER BY number

-- name: insert_canary
-- Adds the batch of the canary.
INSERT INTO retrofill.batch (
    job_id, run_id, set_no, first_seq, last_seq, items, bytes, canary, sizes
)
VALUES (
    %(job_id)s, %(run_id)s, %(set_no)s, %(next_seq)s, %(next_seq)s - 1 + %(items)s, %(items)s,
    %(bytes)s, true, %(sizes)s::bigint[]
)
RETURNING batch_id, items

-- name: count_resumed
-- Adds to the number of items that a set resumes.
UPDATE retrofill.run_set SET resumed = resumed + %(resumed)s
WHERE run_id = %(run_id)s AND set_no = %(set_no)s

-- name: get_found
-- What became of the items of a canary, and its calls that were not answered well.
SELECT
    items, first_seq, calls, succeeded, quarantined, blamed, cost, hints, sizes,
    done_at IS NOT NULL AS done,
    (
        SELECT coalesce(jsonb_object_agg(coalesce(nullif(cause, ''), outcome::text), calls), '{}')
        FROM retrofill.call_count AS count WHERE count.batch_id = batch.batch_id
    ) AS troubles
FROM retrofill.batch WHERE batch_id = %(batch_id)s

-- name: list_calls
-- The calls of a batch, with what they used and how long each took the place of another.
SELECT
    attempt = 1 AS first, item_count AS items, spans, took_ms, billed_ms, memory_mb, init_ms,
    extract(epoch FROM ended_at - sent_at)::float * 1000 AS held_ms
FROM retrofill.invocation CROSS JOIN LATERAL (
    SELECT jsonb_agg(jsonb_build_array(lower(span), upper(span)) ORDER BY span) AS spans
    FROM unnest(invocation.items) AS span
) AS carried
WHERE batch_id = %(batch_id)s
ORDER BY call_no

-- name: list_ended
-- How many calls of a batch ended in each way.
SELECT 'succeeded' AS outcome, '' AS cause, calls_succeeded AS calls, items_answered AS items
FROM retrofill.batch WHERE batch_id = %(batch_id)s
UNION ALL
SELECT outcome::text, cause, calls, items FROM retrofill.call_count WHERE batch_id = %(batch_id)s
