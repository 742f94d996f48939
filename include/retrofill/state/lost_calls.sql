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
-- OFFSET 0: as in settle_late.
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
