-- name: find_selected
-- Which of the given items are selected and had succeeded when the run was opened.
-- Items that this run settled itself never are, whatever the clock says.
SELECT string_agg(uuid_send(item.identifier), '')
FROM unnest(%(listed)s::text[], %(identifiers)s::uuid[]) AS asked (item_key, identifier)
CROSS JOIN LATERAL (
    SELECT identifier, batch_id, call_no, run_id FROM retrofill.results
    WHERE results.job_id = %(job_id)s AND results.item_key = asked.item_key
        AND results.identifier = asked.identifier AND results.run_id <> %(run_id)s
        AND settled_at < (SELECT opened_at FROM retrofill.run WHERE run_id = %(run_id)s)
        AND settled_at >= coalesce(%(after)s::timestamptz, '-infinity')
        AND settled_at < coalesce(%(before)s::timestamptz, 'infinity')
        AND results.item_key ~ ALL (%(keys)s::text[])
    OFFSET 0
) AS item
CROSS JOIN LATERAL retrofill.version_of(%(job_id)s, run_id, batch_id, call_no) AS ran
WHERE %(version)s::text IS NULL OR %(version)s::text = ran.version

-- name: take_back
-- Moves items from the results cache into process, and records their earlier success.
-- They enter with the content that the source has for them now.
WITH back AS (
    DELETE FROM retrofill.results
    WHERE ctid = ANY(ARRAY(
        SELECT found.place
        FROM unnest(%(chosen)s::text[], %(identifiers)s::uuid[]) AS chosen (item_key, identifier)
        CROSS JOIN LATERAL (
            SELECT ctid AS place FROM retrofill.results AS item
            WHERE item.job_id = %(job_id)s AND item.item_key = chosen.item_key
                AND item.identifier = chosen.identifier
            OFFSET 0
        ) AS found
    ))
    RETURNING *
),
remembered AS (
    INSERT INTO retrofill.redriven (
        job_id, item_key, identifier, run_id, batch_id, call_no, attempts, settled_by, settled_at
    )
    SELECT
        job_id, item_key, identifier, %(run_id)s, batch_id, call_no, attempts, run_id, settled_at
    FROM back
)
INSERT INTO retrofill.in_process (
    job_id, seq, run_id, identifier, item_key, content, attempts, unordered
)
SELECT
    job_id, %(next_seq)s - 1 + row_number() OVER (ORDER BY item_key, identifier), %(run_id)s,
    identifier, item_key,
    -- In an object, because the server searches an array from its beginning.
    (SELECT %(contents)s::jsonb) ->> identifier::text,
    attempts, (SELECT unordered FROM retrofill.job WHERE job_id = %(job_id)s)
FROM back

-- name: break_extents
-- Marks the extents of redriven items as no longer whole, because these items are not new.
UPDATE retrofill.extent SET whole = false
WHERE job_id = %(job_id)s AND first_seq >= %(next_seq)s

-- name: count_redriven
-- Adds to the redriven items of a set.
UPDATE retrofill.run_set SET redriven = redriven + %(count)s
WHERE run_id = %(run_id)s AND set_no = %(set_no)s
