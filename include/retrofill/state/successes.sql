-- name: find_selected
-- Which of the given items have succeeded and are selected, as they were when the run was opened.
-- What this run itself has settled is never among them, whatever the clock says. OFFSET 0: each item
-- is looked up by itself, whatever the planner believes of the table.
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
-- Moves items from results into process, and keeps what results said of them.
-- They enter with the content that the source tells of them now.
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
    -- Found in an object: in an array, the server would count from its beginning.
    (SELECT %(contents)s::jsonb) ->> identifier::text,
    attempts, (SELECT unordered FROM retrofill.job WHERE job_id = %(job_id)s)
FROM back

-- name: break_extents
-- Marks what entered so as planned by its numbers alone: none of it is new.
UPDATE retrofill.extent SET whole = false
WHERE job_id = %(job_id)s AND first_seq >= %(next_seq)s

-- name: put_back
-- Puts back into results what a run has taken from there and no call has carried since.
WITH back AS (
    DELETE FROM retrofill.in_process
    WHERE job_id = %(job_id)s AND seq = ANY(ARRAY(
        SELECT item.seq
        FROM unnest(%(firsts)s::bigint[], %(lasts)s::bigint[]) AS extent (first_seq, last_seq)
        CROSS JOIN LATERAL (
            SELECT seq, item_key, identifier, attempts, unsure FROM retrofill.in_process
            WHERE in_process.job_id = %(job_id)s
                AND seq BETWEEN extent.first_seq AND extent.last_seq AND run_id = %(run_id)s
                AND NOT seq <@ %(kept)s::int8multirange
            OFFSET 0
        ) AS item
        CROSS JOIN LATERAL (
            SELECT attempts FROM retrofill.redriven
            WHERE redriven.job_id = %(job_id)s AND redriven.item_key = item.item_key
                AND redriven.identifier = item.identifier AND redriven.run_id = %(run_id)s
                AND settled_by IS NOT NULL
            OFFSET 0
        ) AS before
        WHERE item.attempts = before.attempts AND NOT item.unsure
    ))
    RETURNING job_id, item_key, identifier
),
said AS (
    DELETE FROM retrofill.redriven
    WHERE ctid = ANY(ARRAY(
        SELECT found.place FROM back CROSS JOIN LATERAL (
            SELECT ctid AS place FROM retrofill.redriven AS item
            WHERE item.job_id = back.job_id AND item.item_key = back.item_key
                AND item.identifier = back.identifier AND item.run_id = %(run_id)s
            OFFSET 0
        ) AS found
    ))
    RETURNING *
)
INSERT INTO retrofill.results (
    job_id, item_key, identifier, run_id, batch_id, call_no, attempts, settled_at
)
SELECT job_id, item_key, identifier, settled_by, batch_id, call_no, attempts, settled_at
FROM said

-- name: count_redriven
-- Adds to the number of items that a set has redriven.
UPDATE retrofill.run_set SET redriven = redriven + %(count)s
WHERE run_id = %(run_id)s AND set_no = %(set_no)s
