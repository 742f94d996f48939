-- name: mark_calls_lost
-- Ends unsettled calls as lost; puts their items in doubt, or in quarantine if the run holds them.
WITH lost AS (
    UPDATE retrofill.invocation SET outcome = 'lost', ended_at = clock_timestamp()
    WHERE batch_id = ANY(%(batch_ids)s) AND outcome IS NULL
    RETURNING batch_id, call_no, item_count, items, sent_at
),
summed AS MATERIALIZED (
    -- The bill of a lost call is unknown, so it counts with the function's timeout.
    SELECT batch_id, calls, items, last_calls, coalesce(priced.most, 0) AS cost
    FROM (
        SELECT
            batch_id, count(*) AS calls, sum(item_count) AS items,
            (array_agg(call_no ORDER BY call_no DESC))[:%(calls_kept)s] AS last_calls
        FROM lost GROUP BY batch_id
    ) AS each
    CROSS JOIN LATERAL (
        SELECT run_id FROM retrofill.batch WHERE batch.batch_id = each.batch_id OFFSET 0
    ) AS owner
    CROSS JOIN LATERAL (
        SELECT
            calls * (price ->> 'most_per_call')::float
            + items * coalesce((price ->> 'per_item')::float, 0) AS most
        FROM retrofill.run WHERE run.run_id = owner.run_id
        OFFSET 0
    ) AS priced
),
counted AS (
    INSERT INTO retrofill.call_count AS count (
        batch_id, outcome, cause, calls, items, cost, last_calls
    )
    SELECT batch_id, 'lost', '', calls, items, cost, last_calls FROM summed
    ON CONFLICT (batch_id, outcome, cause) DO UPDATE SET
        calls = count.calls + excluded.calls, items = count.items + excluded.items,
        cost = count.cost + excluded.cost, last_at = excluded.last_at,
        last_calls = excluded.last_calls
),
doubted AS (
    SELECT
        lost.batch_id, lost.call_no, owner.job_id, owner.run_id, item.seq,
        lost.sent_at + make_interval(secs => run.function_timeout_s) AS ends_by,
        coalesce(run.config ->> 'on_unknown' = 'hold', false) AS held
    FROM lost
    CROSS JOIN LATERAL (
        SELECT job_id, run_id FROM retrofill.batch WHERE batch.batch_id = lost.batch_id OFFSET 0
    ) AS owner
    CROSS JOIN LATERAL (
        SELECT function_timeout_s, config FROM retrofill.run
        WHERE run.run_id = owner.run_id
        OFFSET 0
    ) AS run
    CROSS JOIN LATERAL (
        SELECT seq FROM retrofill.in_process
        WHERE in_process.job_id = owner.job_id AND seq <@ lost.items
            AND seq BETWEEN lower(lost.items) AND upper(lost.items)
        OFFSET 0
    ) AS item
),
listed AS (
    -- As arrays in the order of numbers, in which width_bucket finds the place of a number. Batches
    -- that lose their calls together belong to one job.
    SELECT
        held, min(job_id) AS job_id, array_agg(seq ORDER BY seq) AS seqs,
        array_agg(run_id ORDER BY seq) AS run_ids, array_agg(batch_id ORDER BY seq) AS batch_ids,
        array_agg(call_no ORDER BY seq) AS call_nos, array_agg(ends_by ORDER BY seq) AS ends_by
    FROM doubted GROUP BY held
),
held AS (
    DELETE FROM retrofill.in_process
    WHERE job_id = (SELECT job_id FROM listed WHERE held)
        AND seq = ANY((SELECT seqs FROM listed WHERE held)::bigint[])
    RETURNING
        job_id, seq, item_key, identifier, content, attempts, failures,
        width_bucket(seq, (SELECT seqs FROM listed WHERE held)) AS at
),
quarantined AS (
    INSERT INTO retrofill.quarantine (
        job_id, seq, item_key, identifier, run_id, batch_id, call_no, content, attempts,
        failures, unsure, request_id, error_type, error, quarantined_at
    )
    SELECT
        job_id, seq, item_key, identifier, (SELECT run_ids FROM listed WHERE held)[at],
        (SELECT batch_ids FROM listed WHERE held)[at], (SELECT call_nos FROM listed WHERE held)[at],
        content, attempts + 1, failures, true, '', %(error_type)s,
        %(error)s, clock_timestamp()
    FROM held
),
tallied AS (
    UPDATE retrofill.batch SET
        quarantined = quarantined + (
            SELECT count(*)
            FROM unnest((SELECT batch_ids FROM listed WHERE held)) AS owner (batch_id)
            WHERE owner.batch_id = batch.batch_id
        ),
        (cost, cost_from_above) = (
            SELECT
                batch.cost + coalesce(sum(summed.cost), 0),
                batch.cost_from_above + coalesce(sum(summed.cost), 0)
            FROM summed WHERE summed.batch_id = batch.batch_id
        )
    WHERE batch_id = ANY(%(batch_ids)s) AND EXISTS (SELECT FROM lost)
)
UPDATE retrofill.in_process SET
    attempts = attempts + 1, unsure = true, not_before = greatest(
        not_before,
        (SELECT ends_by FROM listed WHERE NOT held)[
            width_bucket(seq, (SELECT seqs FROM listed WHERE NOT held))
        ]
    )
WHERE job_id = (SELECT job_id FROM listed WHERE NOT held)
    AND seq = ANY((SELECT seqs FROM listed WHERE NOT held)::bigint[])

-- name: recount_cost
-- Replaces the upper bound of the cost of lost calls with their cost.
WITH counted AS MATERIALIZED (
    SELECT coalesce(
        %(calls)s * (price ->> 'most_per_call')::float
        + %(items)s * coalesce((price ->> 'per_item')::float, 0), 0
    ) AS most
    FROM retrofill.run
    WHERE run_id = (SELECT run_id FROM retrofill.batch WHERE batch_id = %(batch_id)s)
),
no_longer AS (
    UPDATE retrofill.call_count SET cost = greatest(cost - (SELECT most FROM counted), 0)
    WHERE batch_id = %(batch_id)s AND outcome = 'lost'
)
UPDATE retrofill.batch SET
    cost = greatest(cost - (SELECT most FROM counted), 0) + %(cost)s,
    cost_from_above = greatest(cost_from_above - (SELECT most FROM counted), 0) + %(from_above)s
WHERE batch_id = %(batch_id)s

-- name: count_orphans
-- Counts the calls of batches that may still be running and that no task waits for.
UPDATE retrofill.batch SET (orphans, orphans_until) = (
    SELECT count(*), max(sent_at + timeout)
    FROM (
        SELECT make_interval(secs => function_timeout_s) AS timeout
        FROM retrofill.run WHERE run.run_id = batch.run_id
        OFFSET 0
    ) AS run
    CROSS JOIN LATERAL (
        SELECT sent_at FROM retrofill.invocation
        WHERE invocation.batch_id = batch.batch_id
            AND (outcome = 'lost' OR outcome = 'unknown' AND error_type = %(no_answer)s)
            AND sent_at > clock_timestamp() - timeout
        OFFSET 0
    ) AS silent
)
WHERE batch_id = ANY(%(batch_ids)s)

-- name: count_silent
-- Records until when each call of a run's silent holders may be running.
UPDATE retrofill.batch SET
    counted_for = leased_until,
    may_run_until = ARRAY(
        SELECT sent_at + timeout
        FROM (
            SELECT make_interval(secs => function_timeout_s) AS timeout
            FROM retrofill.run WHERE run.run_id = batch.run_id
            OFFSET 0
        ) AS run
        CROSS JOIN LATERAL (
            SELECT sent_at FROM retrofill.invocation
            WHERE invocation.batch_id = batch.batch_id AND invocation.epoch = batch.epoch
                AND (outcome IS NULL OR error_type = %(no_answer)s AND outcome = 'unknown')
                AND sent_at > clock_timestamp() - timeout
            OFFSET 0
        ) AS silent
    )
WHERE batch_id = ANY(ARRAY(
    -- A holder that is writing calls ahead has the lock and renews its lease: it is not silent. While
    -- these rows are locked, their holders cannot write ahead a call without renewing, either.
    SELECT batch_id FROM retrofill.batch
    WHERE run_id = %(run_id)s AND done_at IS NULL AND leased_until <= clock_timestamp()
        AND counted_for IS DISTINCT FROM leased_until
    FOR NO KEY UPDATE SKIP LOCKED
))
