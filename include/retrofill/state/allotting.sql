-- name: list_shares
-- What each batch of a run that holds anything was given, and what it uses.
SELECT
    batch_id = %(batch_id)s AS own,
    coalesce(done_at IS NULL AND leased_until > clock_timestamp(), false) AS active,
    wanted,
    -- A holder that has gone silent sends nothing, but what it sent may still be running: all that
    -- it was given, until that is counted.
    CASE
        WHEN leased_until > clock_timestamp() THEN allotted
        WHEN counted_for = leased_until THEN (
            SELECT count(*) FROM unnest(may_run_until) AS call (ends_by)
            WHERE ends_by > clock_timestamp()
        )
        WHEN leased_until + make_interval(
            secs => (SELECT function_timeout_s FROM retrofill.run WHERE run_id = %(run_id)s)
        ) > clock_timestamp()
        THEN allotted ELSE 0
    END AS allotted,
    coalesce(
        done_at IS NULL AND allotted > 0 AND batch_id <> %(batch_id)s
        AND leased_until <= clock_timestamp() AND counted_for IS DISTINCT FROM leased_until, false
    ) AS uncounted,
    CASE WHEN orphans_until > clock_timestamp() THEN orphans ELSE 0 END AS orphans,
    CASE WHEN done_at IS NULL THEN greatest(call_limit - calls, 0) ELSE 0 END AS calls_left,
    width, in_flight, batch_id, calls_per_second,
    -- A holder that has gone silent spends nothing more, but for what it sent.
    CASE WHEN done_at IS NULL AND leased_until > clock_timestamp()
        THEN greatest(cost_limit - cost, 0) ELSE 0 END AS cost_left,
    calls - calls_settled AS unsettled
FROM retrofill.batch
WHERE run_id = %(run_id)s AND (
    done_at IS NULL AND leased_until IS NOT NULL OR orphans_until > clock_timestamp()
)

-- name: get_totals
-- The totals of a run over all its batches.
SELECT
    coalesce(sum(calls - refused), 0) AS calls,
    coalesce(sum(refused), 0) AS refused,
    coalesce(sum(succeeded + blamed - cured), 0) AS judged,
    coalesce(sum(blamed), 0) AS blamed,
    coalesce(sum(succeeded), 0) AS succeeded,
    CASE WHEN count(DISTINCT failing_as) = 1 THEN min(failing_as) END AS failing_as,
    extract(epoch FROM clock_timestamp() - max(answered_at))::float AS answered_s,
    coalesce(sum(cost), 0) AS cost
FROM retrofill.batch WHERE run_id = %(run_id)s

-- name: allot
-- Renews the lease of a batch and records its new share.
UPDATE retrofill.batch SET
    wanted = %(wanted)s, allotted = %(allotted)s, call_limit = calls + %(calls)s,
    cost_limit = cost + %(cost)s,
    width = %(width)s, in_flight = %(in_flight)s, calls_per_second = %(calls_per_second)s,
    answered_at = CASE WHEN %(answered)s THEN clock_timestamp() ELSE answered_at END,
    refused_since = clock_timestamp() - make_interval(secs => %(refused_s)s), refusal = %(refusal)s,
    slowest = %(slowest)s, slowest_ms = %(slowest_ms)s,
    leased_until = clock_timestamp() + make_interval(secs => %(lease_s)s)
WHERE batch_id = %(batch_id)s AND epoch = %(epoch)s AND done_at IS NULL

-- name: list_causes
-- How many calls of a run ended in each way.
SELECT outcome::text AS outcome, cause, calls, items
FROM retrofill.v_outcome WHERE run_id = %(run_id)s

-- name: set_pace
-- Sets how wide the windows of a run's tasks are together, and how far it has come up its ramp.
UPDATE retrofill.run SET width = %(width)s, ramp = %(ramp)s WHERE run_id = %(run_id)s
