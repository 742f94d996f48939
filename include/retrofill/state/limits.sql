-- name: get_standing
-- The limits of a run, and whether one of them has stopped it or should.
SELECT
    limits, stop_reason, width, ramp,
    extract(epoch FROM clock_timestamp() - opened_at - waited)::float AS age_s,
    coalesce(
        clock_timestamp() >= opened_at + waited + make_interval(mins => (limits->>'max_minutes')::integer),
        false
    ) AS is_late
FROM retrofill.run WHERE run_id = %(run_id)s

-- name: change_limits
-- Changes some limits of an open run.
UPDATE retrofill.run SET limits = limits || %(changes)s::jsonb
WHERE run_id = %(run_id)s AND state = 'open'

-- name: stop_run
-- Stops an open run; the first reason stays.
UPDATE retrofill.run SET stop_reason = coalesce(stop_reason, %(reason)s)
WHERE run_id = %(run_id)s AND state = 'open'
