-- name: list_quarantined
SELECT item_key, identifier::text, error_type FROM retrofill.quarantine
WHERE job_id = %(job_id)s AND (item_key, identifier) > (%(after_key)s, %(after_identifier)s::uuid)
    AND quarantined_at < (SELECT opened_at FROM retrofill.run WHERE run_id = %(run_id)s)
ORDER BY item_key, identifier LIMIT %(most)s

-- name: move
WITH back AS (
    DELETE FROM retrofill.quarantine
    USING unnest(%(keys)s::text[], %(identifiers)s::uuid[]) AS chosen (item_key, identifier)
    WHERE quarantine.job_id = %(job_id)s AND quarantine.item_key = chosen.item_key
        AND quarantine.identifier = chosen.identifier
    RETURNING quarantine.*
),
remembered AS (
    INSERT INTO retrofill.redriven (
        job_id, item_key, identifier, run_id, quarantined_by, attempts, failures, unsure,
        request_id, error_type, error, quarantined_at
    )
    SELECT
        job_id, item_key, identifier, %(run_id)s, run_id, attempts, failures, unsure, request_id,
        error_type, error, quarantined_at
    FROM back
)
INSERT INTO retrofill.in_process (
    job_id, seq, run_id, identifier, item_key, version_id, etag, size, modified_at, attempts,
    unsure, not_before
)
SELECT
    back.job_id, %(next_seq)s - 1 + row_number() OVER (ORDER BY item_key, identifier),
    %(run_id)s, identifier, item_key, version_id, etag, size, modified_at, attempts, unsure,
    -- A call of which nobody knows may be running still.
    CASE
        WHEN unsure THEN quarantined_at + make_interval(secs => run.function_timeout_s)
    END
FROM back JOIN retrofill.run ON run.run_id = %(run_id)s

-- name: count_redriven
UPDATE retrofill.run_set SET redriven = redriven + %(count)s
WHERE run_id = %(run_id)s AND set_no = %(set_no)s
