-- name: list_quarantined
-- The next items in quarantine after a place, and whether a run selects them.
SELECT
    item_key, identifier::text AS identifier, octet_length(content) AS bytes,
    item_key ~ ALL (%(keys)s::text[])
        AND quarantined_at >= coalesce(%(after)s::timestamptz, '-infinity')
        AND quarantined_at < coalesce(%(before)s::timestamptz, 'infinity')
        AND (%(error)s::text IS NULL OR error_type ~ %(error)s::text)
        AND (%(unsure)s::boolean IS NULL OR unsure = %(unsure)s::boolean)
        AND (%(version)s::text IS NULL OR %(version)s::text = ran.version) IS TRUE AS is_chosen
FROM retrofill.quarantine AS item
CROSS JOIN LATERAL retrofill.version_of(%(job_id)s, run_id, batch_id, call_no) AS ran
WHERE job_id = %(job_id)s AND (item_key, identifier) > (%(after_key)s, %(after_identifier)s::uuid)
    AND quarantined_at < (SELECT opened_at FROM retrofill.run WHERE run_id = %(run_id)s)
-- The planner cannot know the limit, so it reads in order and does not sort all items.
ORDER BY item.item_key, item.identifier LIMIT (SELECT %(most)s)

-- name: move
-- Moves items from quarantine into process, and records their quarantine.
WITH back AS (
    -- By place: the lock on the job keeps its rows where they are.
    DELETE FROM retrofill.quarantine
    WHERE ctid = ANY(ARRAY(
        SELECT found.place
        FROM unnest(%(chosen)s::text[], %(identifiers)s::uuid[]) AS chosen (item_key, identifier)
        CROSS JOIN LATERAL (
            SELECT ctid AS place FROM retrofill.quarantine AS item
            WHERE item.job_id = %(job_id)s AND item.item_key = chosen.item_key
                AND item.identifier = chosen.identifier
            OFFSET 0
        ) AS found
    ))
    RETURNING *
),
remembered AS (
    INSERT INTO retrofill.redriven (
        job_id, item_key, identifier, run_id, quarantined_by, batch_id, call_no, attempts, failures, unsure,
        request_id, error_type, error, quarantined_at
    )
    SELECT
        job_id, item_key, identifier, %(run_id)s, run_id, batch_id, call_no, attempts, failures, unsure, request_id,
        error_type, error, quarantined_at
    FROM back
)
INSERT INTO retrofill.in_process (
    job_id, seq, run_id, identifier, item_key, content, attempts, unsure,
    unordered, not_before
)
SELECT
    back.job_id, %(next_seq)s - 1 + row_number() OVER (ORDER BY item_key, identifier),
    %(run_id)s, identifier, item_key, content, attempts, unsure,
    (SELECT unordered FROM retrofill.job WHERE job_id = %(job_id)s),
    -- A call in doubt may still be running.
    CASE
        WHEN unsure THEN quarantined_at + make_interval(
            secs => (SELECT function_timeout_s FROM retrofill.run WHERE run_id = %(run_id)s)
        )
    END
FROM back
