-- name: lock_function
-- Locks the cap that the runs of a function share: their tasks ask for their parts by turns.
SELECT pg_advisory_xact_lock(
    hashtext('retrofill function'), hashtext(concat_ws(' ', function ->> 'kind', function ->> 'name'))
)
FROM retrofill.run WHERE run_id = %(run_id)s

-- name: list_claims
-- What each run of a function has in flight and wants: those open, or closed within a timeout.
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
            -- A holder that has gone silent sends nothing, but what it sent may still be running.
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
WHERE function ->> 'kind' = (
    SELECT function ->> 'kind' FROM retrofill.run WHERE run_id = %(run_id)s
) AND function ->> 'name' = (
    SELECT function ->> 'name' FROM retrofill.run WHERE run_id = %(run_id)s
)
    AND coalesce(closed_at, 'infinity') > now() - interval '1 day'
    AND (closed_at IS NULL OR closed_at + make_interval(secs => function_timeout_s) > now())
ORDER BY run_id
