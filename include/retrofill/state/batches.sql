-- name: lock_job
SELECT FROM retrofill.job WHERE job_id = %(job_id)s FOR NO KEY UPDATE

-- name: close_abandoned
WITH alive AS (
    SELECT run_id, set_no FROM retrofill.batch
    WHERE job_id = %(job_id)s
    GROUP BY run_id, set_no
    HAVING max(greatest(leased_until, done_at, planned_at))
        > clock_timestamp() - make_interval(secs => %(abandoned_after_s)s)
)
UPDATE retrofill.batch SET
    done_at = coalesce(leased_until, planned_at), epoch = epoch + 1, leased_until = NULL
WHERE job_id = %(job_id)s AND done_at IS NULL AND run_id <> %(run_id)s
    AND (run_id, set_no) NOT IN (SELECT run_id, set_no FROM alive)
RETURNING batch_id

-- name: forget_extents
-- No join: without statistics, the planner may read the whole job for each extent.
DELETE FROM retrofill.extent
WHERE job_id = %(job_id)s AND (
    SELECT seq FROM retrofill.in_process
    WHERE in_process.job_id = %(job_id)s
        AND seq BETWEEN extent_no * 10000 AND extent_no * 10000 + 9999
    LIMIT 1
) IS NULL

-- name: plan_batches
WITH at_work AS (
    SELECT run_id FROM retrofill.run
    WHERE job_id = %(job_id)s AND run_id <> %(run_id)s AND state = 'open'
        AND coalesce(
            (
                SELECT max(greatest(leased_until, done_at, planned_at))
                FROM retrofill.batch WHERE batch.run_id = run.run_id
            ),
            opened_at
        ) > clock_timestamp() - make_interval(secs => %(abandoned_after_s)s)
),
queued AS (
    SELECT seq, run_id, row_number() OVER (ORDER BY seq) AS rank
    FROM retrofill.in_process WHERE job_id = %(job_id)s
),
free AS (
    -- A batch is a range, so it must end where an item of another run stands: there the island,
    -- the number of such items before, is another one.
    SELECT
        seq, run_id, row_number() OVER (ORDER BY seq) - 1 AS place,
        rank - row_number() OVER (ORDER BY seq) AS island
    FROM queued
    WHERE run_id NOT IN (SELECT run_id FROM at_work) AND NOT EXISTS (
        SELECT FROM retrofill.batch
        WHERE batch.job_id = %(job_id)s AND batch.done_at IS NULL
            AND queued.seq BETWEEN batch.first_seq AND batch.last_seq
    )
),
size AS (
    SELECT
        greatest(
            least(%(most_items)s, ceil(count(*) / %(min_batches)s::numeric)),
            %(fewest_items)s,
            ceil(count(*) / %(max_batches)s::numeric)
        ) AS items
    FROM free
),
spans AS (
    SELECT
        min(seq) AS first_seq, max(seq) AS last_seq, count(*) AS items,
        count(*) FILTER (WHERE free.run_id <> %(run_id)s) AS resumed
    FROM free, size
    GROUP BY island, div(place, size.items)
),
planned AS (
    INSERT INTO retrofill.batch (job_id, run_id, set_no, first_seq, last_seq, items)
    SELECT %(job_id)s, %(run_id)s, %(set_no)s, first_seq, last_seq, items
    FROM spans ORDER BY first_seq
)
UPDATE retrofill.run_set SET
    planned_at = coalesce(planned_at, clock_timestamp()),
    resumed = run_set.resumed + coalesce((SELECT sum(spans.resumed) FROM spans), 0)
WHERE run_id = %(run_id)s AND set_no = %(set_no)s

-- name: list_batches
SELECT batch_id, items FROM retrofill.batch
WHERE run_id = %(run_id)s AND set_no = %(set_no)s ORDER BY first_seq

-- name: release_set
UPDATE retrofill.batch SET
    done_at = clock_timestamp(), epoch = epoch + 1, leased_until = NULL, wanted = 0, allotted = 0
WHERE run_id = %(run_id)s AND set_no = %(set_no)s AND done_at IS NULL
RETURNING batch_id

-- name: lock_batches
SELECT FROM retrofill.batch
WHERE run_id = %(run_id)s AND done_at IS NULL ORDER BY batch_id FOR NO KEY UPDATE

-- name: is_silent
SELECT
    run.state = 'open'
    AND greatest(
        run.opened_at,
        (SELECT max(opened_at) FROM retrofill.run_set WHERE run_set.run_id = run.run_id),
        (
            SELECT max(greatest(leased_until, done_at, planned_at))
            FROM retrofill.batch WHERE batch.run_id = run.run_id
        )
    ) < clock_timestamp() - make_interval(secs => %(silent_s)s)
FROM retrofill.run WHERE run_id = %(run_id)s

-- name: rescue_batches
UPDATE retrofill.batch SET
    done_at = clock_timestamp(), epoch = epoch + 1, leased_until = NULL, wanted = 0, allotted = 0
WHERE run_id = %(run_id)s AND done_at IS NULL
RETURNING batch_id

-- name: close_rescued
UPDATE retrofill.run SET
    closed_at = clock_timestamp(),
    state = (
        SELECT
            CASE WHEN items_left = 0 AND partitions_left = 0 AND partitions > 0
                THEN 'complete' ELSE 'incomplete' END::retrofill.run_state
        FROM retrofill.v_run WHERE v_run.run_id = run.run_id
    )
WHERE run_id = %(run_id)s
RETURNING state::text

-- name: is_overlapped
SELECT EXISTS (
    SELECT FROM retrofill.batch
    WHERE job_id = %(job_id)s AND done_at IS NULL AND batch_id <> %(batch_id)s
        AND first_seq <= %(last_seq)s AND last_seq >= %(first_seq)s
)

-- name: reopen
UPDATE retrofill.batch SET done_at = NULL WHERE batch_id = %(batch_id)s

-- name: count_items
SELECT count(*) FROM retrofill.in_process
WHERE job_id = %(job_id)s AND seq BETWEEN %(first_seq)s AND %(last_seq)s

-- name: lock_batch
SELECT
    batch.job_id, batch.run_id, batch.first_seq, batch.last_seq, batch.items, batch.holder,
    greatest(extract(epoch FROM batch.leased_until - clock_timestamp()), 0)::float AS leased_s,
    batch.done_at IS NOT NULL AS done
FROM retrofill.batch
WHERE batch_id = %(batch_id)s FOR NO KEY UPDATE

-- name: take_lease
UPDATE retrofill.batch SET
    epoch = epoch + 1, holder = %(holder)s, allotted = 0, wanted = 0, call_limit = calls,
    calls_per_second = 0,
    leased_until = clock_timestamp() + make_interval(secs => %(lease_s)s)
WHERE batch_id = %(batch_id)s
RETURNING epoch, next_call, settle_no

-- name: lose_calls
WITH lost AS (
    UPDATE retrofill.invocation SET outcome = 'lost', ended_at = clock_timestamp()
    WHERE batch_id = ANY(%(batch_ids)s) AND outcome IS NULL
    RETURNING batch_id, call_no, item_count, items, sent_at
),
counted AS (
    INSERT INTO retrofill.call_count AS count (batch_id, outcome, cause, calls, items)
    SELECT batch_id, 'lost', '', count(*), sum(item_count) FROM lost GROUP BY batch_id
    ON CONFLICT (batch_id, outcome, cause) DO UPDATE SET
        calls = count.calls + excluded.calls, items = count.items + excluded.items
),
doubted AS (
    SELECT
        lost.*, batch.job_id, batch.run_id,
        lost.sent_at + make_interval(secs => run.function_timeout_s) AS ends_by,
        coalesce(run.config ->> 'on_unknown' = 'hold', false) AS held
    FROM lost JOIN retrofill.batch USING (batch_id) JOIN retrofill.run USING (run_id)
),
held AS (
    DELETE FROM retrofill.in_process USING doubted
    CROSS JOIN LATERAL (
        SELECT item.seq FROM retrofill.in_process AS item
        WHERE item.job_id = doubted.job_id AND item.seq <@ doubted.items
            AND item.seq BETWEEN lower(doubted.items) AND upper(doubted.items)
        OFFSET 0
    ) AS found
    WHERE doubted.held AND in_process.job_id = doubted.job_id AND in_process.seq = found.seq
    RETURNING
        in_process.job_id, in_process.seq, item_key, identifier, doubted.run_id, batch_id, call_no,
        version_id, etag, size, modified_at, attempts, failures
),
quarantined AS (
    INSERT INTO retrofill.quarantine (
        job_id, seq, item_key, identifier, run_id, batch_id, call_no, version_id, etag, size,
        modified_at, attempts, failures, unsure, request_id, error_type, error, quarantined_at
    )
    SELECT
        job_id, seq, item_key, identifier, run_id, batch_id, call_no, version_id, etag, size,
        modified_at, attempts + 1, failures, true, '', %(error_type)s, %(error)s,
        clock_timestamp()
    FROM held
),
tallied AS (
    UPDATE retrofill.batch SET quarantined = quarantined + tally.items
    FROM (SELECT batch_id, count(*) AS items FROM held GROUP BY batch_id) AS tally
    WHERE batch.batch_id = tally.batch_id
)
UPDATE retrofill.in_process SET
    attempts = attempts + 1, unsure = true, not_before = greatest(not_before, doubted.ends_by)
FROM doubted
-- OFFSET 0: as in settle_succeeded.
CROSS JOIN LATERAL (
    SELECT item.seq FROM retrofill.in_process AS item
    WHERE item.job_id = doubted.job_id AND item.seq <@ doubted.items
        AND item.seq BETWEEN lower(doubted.items) AND upper(doubted.items)
    OFFSET 0
) AS found
WHERE NOT doubted.held AND in_process.job_id = doubted.job_id AND in_process.seq = found.seq

-- name: count_orphans
UPDATE retrofill.batch SET orphans = running.calls, orphans_until = running.ends_by
FROM (
    SELECT
        batch_id, count(call_no) AS calls,
        max(sent_at) + make_interval(secs => run.function_timeout_s) AS ends_by
    FROM retrofill.batch JOIN retrofill.run USING (run_id)
    LEFT JOIN LATERAL (
        SELECT call_no, sent_at FROM retrofill.invocation
        WHERE invocation.batch_id = batch.batch_id
            AND (outcome = 'lost' OR outcome = 'unknown' AND error_type = %(no_answer)s)
            AND sent_at > clock_timestamp() - make_interval(secs => run.function_timeout_s)
    ) AS silent ON true
    WHERE batch_id = ANY(%(batch_ids)s)
    GROUP BY batch_id, run.function_timeout_s
) AS running
WHERE batch.batch_id = running.batch_id

-- name: copy_items
COPY (
    SELECT
        seq, encode(uuid_send(identifier), 'hex'), item_key, size, modified_at, etag, version_id
    FROM retrofill.in_process
    WHERE job_id = %(job_id)s AND seq BETWEEN %(first_seq)s AND %(last_seq)s
    ORDER BY seq
) TO STDOUT

-- name: list_histories
SELECT
    seq, attempts, failures, call_cap, unsure,
    coalesce(greatest(extract(epoch FROM not_before - clock_timestamp()), 0), 0)::float
FROM retrofill.in_process
WHERE job_id = %(job_id)s AND seq BETWEEN %(first_seq)s AND %(last_seq)s
    AND (attempts > 0 OR failures > 0 OR not_before IS NOT NULL)

-- name: fence
UPDATE retrofill.batch SET
    settle_no = %(settle_no)s,
    leased_until = clock_timestamp() + make_interval(secs => %(lease_s)s),
    next_call = next_call + %(new_calls)s,
    calls = calls + %(new_calls)s,
    retries = retries + %(retries)s,
    duplicates = duplicates + %(duplicates)s,
    blamed = blamed + %(blamed)s,
    cured = cured + %(cured)s
WHERE batch_id = %(batch_id)s AND epoch = %(epoch)s AND done_at IS NULL
    AND settle_no = %(settle_no)s - 1
    -- When a lease has run out, what its holder might have in flight may be with others.
    AND (%(new_calls)s = 0 OR leased_until > clock_timestamp())

-- name: list_left
SELECT seq FROM retrofill.in_process WHERE job_id = %(job_id)s AND seq = ANY(%(seqs)s)

-- name: get_settle_no
SELECT settle_no FROM retrofill.batch WHERE batch_id = %(batch_id)s AND epoch = %(epoch)s

-- name: end_calls
UPDATE retrofill.invocation SET
    ended_at = clock_timestamp(), outcome = ended.outcome::retrofill.outcome,
    request_id = ended.request_id, executed_version = ended.executed_version,
    error_type = ended.error_type, error = ended.error
FROM unnest(
    %(call_nos)s::integer[], %(outcomes)s::text[], %(request_ids)s::text[], %(versions)s::text[],
    %(error_types)s::text[], %(errors)s::text[]
) AS ended (call_no, outcome, request_id, executed_version, error_type, error)
WHERE invocation.batch_id = %(batch_id)s AND invocation.call_no = ended.call_no
    AND (invocation.outcome IS NULL OR invocation.outcome = 'lost')
RETURNING invocation.call_no

-- name: count_troubles
INSERT INTO retrofill.call_count AS count (batch_id, outcome, cause, calls, items)
SELECT %(batch_id)s, outcome::retrofill.outcome, cause, calls, items
FROM unnest(
    %(outcomes)s::text[], %(causes)s::text[], %(calls)s::bigint[], %(items)s::bigint[]
) AS ended (outcome, cause, calls, items)
ON CONFLICT (batch_id, outcome, cause) DO UPDATE SET
    calls = count.calls + excluded.calls, items = count.items + excluded.items

-- name: settle_succeeded
WITH done AS (
    DELETE FROM retrofill.in_process
    USING unnest(%(firsts)s::bigint[], %(lasts)s::bigint[], %(call_nos)s::integer[])
        AS ok (first_seq, last_seq, call_no)
    -- OFFSET 0: each span is looked up by itself. Without statistics, as in the first minute of a
    -- first run, the planner would compare every item of the job with every span.
    CROSS JOIN LATERAL (
        SELECT item.seq FROM retrofill.in_process AS item
        WHERE item.job_id = %(job_id)s AND item.seq BETWEEN ok.first_seq AND ok.last_seq
        OFFSET 0
    ) AS found
    WHERE in_process.job_id = %(job_id)s AND in_process.seq = found.seq
    RETURNING
        in_process.seq, in_process.job_id, in_process.item_key, in_process.identifier,
        in_process.attempts, ok.call_no
)
INSERT INTO retrofill.results (
    job_id, item_key, identifier, run_id, batch_id, call_no, attempts, settled_at
)
SELECT
    job_id, item_key, identifier, %(run_id)s, %(batch_id)s, call_no, attempts + 1,
    clock_timestamp()
FROM done ORDER BY seq

-- name: count_succeeded
UPDATE retrofill.batch SET
    succeeded = succeeded + %(count)s, calls_succeeded = calls_succeeded + %(calls)s,
    items_answered = items_answered + %(items)s
WHERE batch_id = %(batch_id)s

-- name: lock_owners
SELECT FROM retrofill.batch
WHERE batch_id = %(batch_id)s OR job_id = %(job_id)s AND done_at IS NULL AND EXISTS (
    SELECT FROM unnest(%(firsts)s::bigint[], %(lasts)s::bigint[]) AS ok (first_seq, last_seq)
    WHERE batch.first_seq <= ok.last_seq AND batch.last_seq >= ok.first_seq
)
ORDER BY batch_id FOR NO KEY UPDATE

-- name: settle_late
WITH ok AS (
    SELECT * FROM unnest(%(firsts)s::bigint[], %(lasts)s::bigint[], %(call_nos)s::integer[])
        AS ok (first_seq, last_seq, call_no)
),
waited AS (
    DELETE FROM retrofill.in_process USING ok
    -- OFFSET 0: as in settle_succeeded.
    CROSS JOIN LATERAL (
        SELECT item.seq FROM retrofill.in_process AS item
        WHERE item.job_id = %(job_id)s AND item.seq BETWEEN ok.first_seq AND ok.last_seq
        OFFSET 0
    ) AS found
    WHERE in_process.job_id = %(job_id)s AND in_process.seq = found.seq
    RETURNING
        in_process.seq, in_process.item_key, in_process.identifier, in_process.attempts,
        ok.call_no
),
given_up AS (
    DELETE FROM retrofill.quarantine USING ok
    WHERE quarantine.job_id = %(job_id)s
        AND quarantine.seq BETWEEN ok.first_seq AND ok.last_seq
    RETURNING
        quarantine.seq, quarantine.item_key, quarantine.identifier, quarantine.attempts,
        ok.call_no, quarantine.batch_id
),
done AS (
    -- The count belongs to the batch that has the item now: the last one planned with it.
    SELECT
        waited.seq, waited.item_key, waited.identifier,
        -- Somebody may be calling it again, and will find nothing to count.
        waited.attempts + (
            SELECT count(*) FROM retrofill.batch CROSS JOIN LATERAL (
                SELECT FROM retrofill.invocation
                WHERE invocation.batch_id = batch.batch_id AND outcome IS NULL
                    AND waited.seq <@ invocation.items
                OFFSET 0
            ) AS under_way
            WHERE batch.job_id = %(job_id)s
                AND waited.seq BETWEEN batch.first_seq AND batch.last_seq
        ) AS attempts,
        waited.call_no, owned.owner, 0 AS given_up
    FROM waited CROSS JOIN LATERAL (
        SELECT coalesce(max(batch.batch_id), %(batch_id)s) AS owner FROM retrofill.batch
        WHERE batch.job_id = %(job_id)s AND waited.seq BETWEEN batch.first_seq AND batch.last_seq
    ) AS owned
    UNION ALL
    SELECT given_up.*, 1 FROM given_up
),
moved AS (
    INSERT INTO retrofill.results (
        job_id, item_key, identifier, run_id, batch_id, call_no, attempts, settled_at
    )
    SELECT
        %(job_id)s, item_key, identifier, %(run_id)s, %(batch_id)s, call_no, attempts,
        clock_timestamp()
    FROM done ORDER BY seq
)
UPDATE retrofill.batch SET
    succeeded = succeeded + owned.items, quarantined = quarantined - owned.given_up
FROM (
    SELECT owner, count(*) AS items, sum(given_up) AS given_up FROM done GROUP BY owner
) AS owned
WHERE batch.batch_id = owned.owner

-- name: count_quarantined
UPDATE retrofill.batch SET quarantined = quarantined + %(count)s WHERE batch_id = %(batch_id)s

-- name: settle_quarantined
WITH poison AS (
    DELETE FROM retrofill.in_process
    USING unnest(
        %(seqs)s::bigint[], %(call_nos)s::integer[], %(attempts)s::integer[],
        %(failures)s::integer[], %(unsures)s::boolean[], %(request_ids)s::text[],
        %(error_types)s::text[], %(errors)s::text[]
    ) AS bad (seq, call_no, attempts, failures, unsure, request_id, error_type, error)
    WHERE in_process.job_id = %(job_id)s AND in_process.seq = bad.seq
    RETURNING
        in_process.job_id, in_process.seq, in_process.item_key, in_process.identifier,
        in_process.version_id, in_process.etag, in_process.size, in_process.modified_at,
        bad.unsure, bad.call_no, bad.attempts, bad.failures, bad.request_id, bad.error_type, bad.error
)
INSERT INTO retrofill.quarantine (
    job_id, seq, item_key, identifier, run_id, batch_id, call_no, version_id, etag, size,
    modified_at, attempts, failures, unsure, request_id, error_type, error, quarantined_at
)
SELECT
    job_id, seq, item_key, identifier, %(run_id)s, %(batch_id)s, call_no, version_id, etag, size,
    modified_at, attempts, failures, unsure, request_id, error_type, error, clock_timestamp()
FROM poison

-- name: settle_retried
UPDATE retrofill.in_process SET
    attempts = retried.attempts, failures = retried.failures, call_cap = retried.call_cap,
    unsure = retried.unsure,
    not_before = clock_timestamp() + make_interval(secs => retried.delay_s)
FROM unnest(
    %(seqs)s::bigint[], %(attempts)s::integer[], %(failures)s::integer[], %(call_caps)s::integer[],
    %(unsures)s::boolean[], %(delays_s)s::float[]
) AS retried (seq, attempts, failures, call_cap, unsure, delay_s)
WHERE in_process.job_id = %(job_id)s AND in_process.seq = retried.seq

-- name: write_ahead
INSERT INTO retrofill.invocation (
    batch_id, call_no, epoch, items, item_count, attempt, duplicates
)
SELECT %(batch_id)s, call_no, %(epoch)s, items, item_count, attempt, duplicates
FROM unnest(
    %(call_nos)s::integer[], %(items)s::text[]::int8multirange[], %(item_counts)s::integer[],
    %(attempts)s::integer[], %(duplicates)s::integer[]
) AS call (call_no, items, item_count, attempt, duplicates)

-- name: lock_run
SELECT
    least(max_concurrency, concurrency_ceiling), max_calls_per_second, paused, stop_reason,
    max_calls, max_minutes,
    coalesce(
        clock_timestamp() >= opened_at + make_interval(mins => max_minutes), false
    ) AS is_late,
    max_failure_percent, min_items_judged, width
FROM retrofill.run WHERE run_id = %(run_id)s FOR NO KEY UPDATE

-- name: list_shares
SELECT
    batch_id = %(batch_id)s AS own,
    coalesce(done_at IS NULL AND leased_until > clock_timestamp(), false) AS at_work,
    wanted,
    -- A holder that has gone silent sends nothing, but what it sent may still be running.
    CASE
        WHEN leased_until + make_interval(secs => run.function_timeout_s) > clock_timestamp()
        THEN allotted ELSE 0
    END AS allotted,
    CASE WHEN orphans_until > clock_timestamp() THEN orphans ELSE 0 END AS orphans,
    CASE WHEN done_at IS NULL THEN greatest(call_limit - calls, 0) ELSE 0 END AS calls_left,
    batch.width, in_flight, batch_id, calls_per_second
FROM retrofill.batch JOIN retrofill.run USING (run_id)
WHERE run_id = %(run_id)s AND (
    done_at IS NULL AND leased_until IS NOT NULL OR orphans_until > clock_timestamp()
)

-- name: get_totals
SELECT
    coalesce(sum(calls), 0), coalesce(sum(succeeded + blamed - cured), 0), coalesce(sum(blamed), 0)
FROM retrofill.batch WHERE run_id = %(run_id)s

-- name: allot
UPDATE retrofill.batch SET
    wanted = %(wanted)s, allotted = %(allotted)s, call_limit = calls + %(calls)s,
    width = %(width)s, in_flight = %(in_flight)s, calls_per_second = %(calls_per_second)s,
    leased_until = clock_timestamp() + make_interval(secs => %(lease_s)s)
WHERE batch_id = %(batch_id)s AND epoch = %(epoch)s AND done_at IS NULL

-- name: widen_run
UPDATE retrofill.run SET width = %(width)s WHERE run_id = %(run_id)s

-- name: stop_run
UPDATE retrofill.run SET stop_reason = coalesce(stop_reason, %(reason)s)
WHERE run_id = %(run_id)s

-- name: release
UPDATE retrofill.batch SET
    leased_until = NULL, holder = NULL, wanted = 0, allotted = 0, call_limit = calls,
    done_at = CASE WHEN %(done)s THEN clock_timestamp() END
WHERE batch_id = %(batch_id)s AND epoch = %(epoch)s AND done_at IS NULL
