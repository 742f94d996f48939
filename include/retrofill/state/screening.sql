-- name: get_partition
-- A partition, and how far it was listed.
SELECT
    partition.label, partition.description, partition.cursor, partition.chunk_no, partition.done,
    run.job_id, partition.seen, listed > 0 OR left_out <> '{}' AS found
FROM retrofill.partition JOIN retrofill.run USING (run_id)
WHERE run_id = %(run_id)s AND part_no = %(part_no)s

-- name: list_known
-- The known identifiers in a range of keys; separately, those in process in another run.
-- They mostly come in the order of the keys, like the listing, and are then compared at once.
SELECT
    string_agg(uuid_send(identifier), '') FILTER (WHERE NOT elsewhere) AS identifiers,
    string_agg(uuid_send(identifier), '') FILTER (WHERE elsewhere) AS elsewhere,
    string_agg(int8send(seq), '') FILTER (WHERE elsewhere) AS numbers
FROM (
    SELECT identifier, seq, waiting.run_id <> %(run_id)s AS elsewhere
    FROM (
        SELECT first_seq, last_seq FROM retrofill.extent
        WHERE job_id = %(job_id)s AND first_key <= %(last)s AND last_key >= %(first)s
        ORDER BY first_key
    ) AS overlapping
    CROSS JOIN LATERAL (
        SELECT identifier, seq, in_process.run_id FROM retrofill.in_process
        WHERE job_id = %(job_id)s AND seq BETWEEN first_seq AND last_seq
            AND item_key BETWEEN %(first)s AND %(last)s
        OFFSET 0
    ) AS waiting
    UNION ALL
    SELECT identifier, NULL, false FROM retrofill.results
    WHERE job_id = %(job_id)s AND item_key BETWEEN %(first)s AND %(last)s
    UNION ALL
    SELECT identifier, NULL, false FROM retrofill.quarantine
    WHERE job_id = %(job_id)s AND item_key BETWEEN %(first)s AND %(last)s
) AS known

-- name: find_known
-- Which of the given items are known; separately, those in process in another run.
-- The sum rules out the primary key of in_process, which begins with the job, so that only the index
-- by identifiers is left.
WITH found AS MATERIALIZED (
    SELECT
        listed.identifier, waiting.seq, waiting.run_id,
        waiting.seq IS NOT NULL OR (
            SELECT true FROM retrofill.results
            WHERE results.job_id = %(job_id)s AND results.item_key = listed.item_key
                AND results.identifier = listed.identifier
        ) OR (
            SELECT true FROM retrofill.quarantine
            WHERE quarantine.job_id = %(job_id)s AND quarantine.item_key = listed.item_key
                AND quarantine.identifier = listed.identifier
        ) AS known
    FROM unnest(%(keys)s::text[], %(identifiers)s::uuid[]) AS listed (item_key, identifier)
    LEFT JOIN LATERAL (
        SELECT seq, run_id FROM retrofill.in_process
        WHERE in_process.identifier = listed.identifier AND unordered
            AND in_process.job_id + 0 = %(job_id)s
        OFFSET 0
    ) AS waiting ON true
)
SELECT
    string_agg(uuid_send(identifier), '')
        FILTER (WHERE known AND (run_id <> %(run_id)s) IS NOT TRUE)
        AS identifiers,
    string_agg(uuid_send(identifier), '') FILTER (WHERE run_id <> %(run_id)s) AS elsewhere,
    string_agg(int8send(seq), '') FILTER (WHERE run_id <> %(run_id)s) AS numbers
FROM found

-- name: begin_unordered
-- Records that a source without order screens for a job.
UPDATE retrofill.job SET unordered = true WHERE job_id = %(job_id)s

-- name: mark_unordered
-- Makes a job's items in process searchable by identifier.
UPDATE retrofill.in_process SET unordered = true
WHERE job_id = %(job_id)s AND NOT unordered

-- name: note_elsewhere
-- Records the listed items that another run has in process.
INSERT INTO retrofill.elsewhere (run_id, part_no, chunk_no, items)
VALUES (%(run_id)s, %(part_no)s, %(chunk_no)s, %(items)s)

-- name: copy_new
-- Adds new items to the in-process cache.
COPY retrofill.in_process (
    job_id, run_id, seq, identifier, item_key, content
) FROM STDIN (FORMAT binary)

-- name: copy_new_unordered
-- Adds new items of a job for which a source without order has screened.
COPY retrofill.in_process (
    job_id, run_id, unordered, seq, identifier, item_key, content
) FROM STDIN (FORMAT binary)

-- name: commit_unflushed
-- Allows this transaction to commit before the log is on disk.
SET LOCAL synchronous_commit = off

-- name: advance_seq
-- Moves the number of a job's next item.
UPDATE retrofill.job SET next_seq = next_seq + %(count)s WHERE job_id = %(job_id)s

-- name: fill_set
-- Adds to the items that a set has taken.
UPDATE retrofill.run_set SET items_taken = items_taken + %(count)s
WHERE run_id = %(run_id)s AND set_no = %(set_no)s

-- name: advance_partition
-- Moves a partition's cursor and counts, unless another task has listed more of it.
UPDATE retrofill.partition SET
    cursor = coalesce(%(cursor)s, cursor), recent = %(recent)s, chunk_no = chunk_no + 1, done = %(done)s,
    listed = listed + %(listed)s, new = new + %(new)s, known = known + %(known)s,
    late = late + %(late)s,
    left_out = (
        SELECT coalesce(jsonb_object_agg(reason, items), '{}') FROM (
            SELECT reason, sum(items::bigint) AS items
            FROM (VALUES (left_out), (%(left_out)s)) AS part (counts)
            CROSS JOIN LATERAL jsonb_each_text(counts) AS counted (reason, items)
            GROUP BY reason
        ) AS summed
    )
WHERE run_id = %(run_id)s AND part_no = %(part_no)s AND chunk_no = %(chunk_no)s AND NOT done
