-- name: add_slices
-- Adds a task's time slices to those of its run, unless they were added before.
WITH marked AS (
    UPDATE retrofill.batch SET pulse_no = %(pulse_no)s
    WHERE batch_id = %(batch_id)s AND epoch = %(epoch)s AND pulse_no < %(pulse_no)s
    RETURNING run_id
)
INSERT INTO retrofill.pulse AS known (
    run_id, second, seconds, at, calls, succeeded, quarantined, troubles, call_seconds,
    most_in_flight, latency
)
SELECT
    run.run_id, slice.second, slice.seconds,
    run.opened_at + run.waited + make_interval(secs => slice.second), slice.calls, slice.succeeded,
    slice.quarantined, slice.troubles, slice.call_seconds, slice.most_in_flight, slice.latency
FROM retrofill.run CROSS JOIN LATERAL jsonb_to_recordset(%(slices)s::jsonb) AS slice (
    second integer, seconds integer, calls bigint, succeeded bigint, quarantined bigint,
    troubles jsonb, call_seconds float, most_in_flight integer, latency bigint[]
)
WHERE run.run_id = (SELECT run_id FROM marked)
ORDER BY slice.second
ON CONFLICT (run_id, second) DO UPDATE SET
    calls = known.calls + excluded.calls, succeeded = known.succeeded + excluded.succeeded,
    quarantined = known.quarantined + excluded.quarantined,
    troubles = (
        SELECT coalesce(jsonb_object_agg(name, calls), '{}') FROM (
            SELECT name, sum(calls::bigint) AS calls
            FROM (VALUES (known.troubles), (excluded.troubles)) AS part (counts)
            CROSS JOIN LATERAL jsonb_each_text(counts) AS counted (name, calls)
            GROUP BY name
        ) AS summed
    ),
    call_seconds = known.call_seconds + excluded.call_seconds,
    most_in_flight = excluded.most_in_flight,
    latency = ARRAY(
        SELECT coalesce(one, 0) + coalesce(other, 0)
        FROM unnest(known.latency, excluded.latency) WITH ORDINALITY AS rung (one, other, no)
        ORDER BY no
    )

-- name: list_slices
-- The time slices of a run in order.
SELECT
    second, seconds, calls, succeeded, quarantined, troubles, call_seconds, most_in_flight, latency
FROM retrofill.pulse WHERE run_id = %(run_id)s ORDER BY second
