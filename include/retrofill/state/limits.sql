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
-- Changes some limits of an open run; with other minutes, its ramp begins anew.
UPDATE retrofill.run SET
    limits = limits || %(changes)s::jsonb,
    ramp = CASE WHEN %(changes)s::jsonb ? 'ramp_minutes' THEN NULL ELSE ramp END
WHERE run_id = %(run_id)s AND status = 'open'

-- name: stop_run
-- Stops an open run that nobody has stopped before.
UPDATE retrofill.run SET stop_reason = %(reason)s
WHERE run_id = %(run_id)s AND status = 'open' AND stop_reason IS NULL

-- name: is_open
-- Whether a run is open.
SELECT status = 'open' FROM retrofill.run WHERE run_id = %(run_id)s
