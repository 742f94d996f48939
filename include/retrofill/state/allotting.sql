-- name: list_shares
-- The share of each batch of a run that holds one, and what it uses of it.
SELECT
    batch_id = %(batch_id)s AS own,
    coalesce(done_at IS NULL AND leased_until > clock_timestamp(), false) AS active,
    wanted,
    -- A silent holder sends nothing more, but its calls may still be running: all of its share,
    -- until they are counted.
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
    -- A silent holder spends nothing beyond the calls that it sent.
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
-- The calls of a run by outcome and cause.
SELECT outcome::text AS outcome, cause, calls, items
FROM retrofill.v_outcome WHERE run_id = %(run_id)s

-- name: set_pace
-- Sets the width of a run and the progress of its ramp.
UPDATE retrofill.run SET width = %(width)s, ramp = %(ramp)s WHERE run_id = %(run_id)s

-- name: lock_function
-- Locks the cap that the runs of a function share, so that tasks take turns to claim parts.
SELECT pg_advisory_xact_lock(
    hashtext('retrofill function'), hashtext(concat_ws(' ', function ->> 'kind', function ->> 'name'))
)
FROM retrofill.run WHERE run_id = %(run_id)s

-- name: list_claims
-- What each run of a function uses and wants, if it is open or closed within a timeout.
SELECT
    run_id, limits, work.wanted, work.held, work.gone, ramp, status = 'open' AS is_open,
    stop_reason IS NOT NULL AS is_stopped
FROM retrofill.run
CROSS JOIN LATERAL (
    SELECT
        coalesce(sum(wanted) FILTER (WHERE active), 0) AS wanted,
        coalesce(sum(allotted) FILTER (WHERE active), 0)::bigint AS held,
        (coalesce(sum(orphans), 0) + coalesce(sum(allotted) FILTER (WHERE NOT active), 0))::bigint
            AS gone
    FROM (
        SELECT
            wanted, done_at IS NULL AND coalesce(leased_until > clock_timestamp(), false) AS active,
            -- A silent holder sends nothing more, but its calls may still be running.
            CASE
                WHEN leased_until > clock_timestamp() THEN allotted
                WHEN counted_for = leased_until THEN (
                    SELECT count(*) FROM unnest(may_run_until) AS call (ends_by)
                    WHERE ends_by > clock_timestamp()
                )
                WHEN leased_until + make_interval(secs => function_timeout_s) > clock_timestamp()
                THEN allotted ELSE 0
            END AS allotted,
            CASE WHEN orphans_until > clock_timestamp() THEN orphans ELSE 0 END AS orphans
        FROM retrofill.batch
        WHERE batch.run_id = run.run_id AND (
            done_at IS NULL AND leased_until IS NOT NULL OR orphans_until > clock_timestamp()
        )
    ) AS batches
) AS work
WHERE (function ->> 'kind', function ->> 'name') = (
    SELECT function ->> 'kind', function ->> 'name' FROM retrofill.run WHERE run_id = %(run_id)s
)
    AND coalesce(closed_at, 'infinity') > now() - interval '1 day'
    AND (closed_at IS NULL OR closed_at + make_interval(secs => function_timeout_s) > now())
ORDER BY run_id
