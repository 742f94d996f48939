-- name: list_sizes
-- The remaining items of a batch: their numbers, and the sizes of their contents in bytes.
SELECT
    coalesce(json_agg(seq ORDER BY seq), '[]') AS seqs,
    coalesce(json_agg(octet_length(content) ORDER BY seq), '[]') AS sizes
FROM retrofill.in_process
WHERE job_id = %(job_id)s AND seq BETWEEN %(first_seq)s AND %(last_seq)s

-- name: load_items
-- The remaining items of a portion, as one row of columns.
SELECT
    min(seq) AS first,
    CASE WHEN max(seq) - min(seq) + 1 > count(*) THEN json_agg(seq) END AS seqs,
    string_agg(uuid_send(identifier), '') AS identifiers,
    json_agg(item_key) AS keys,
    string_agg(content, chr(30)) AS contents,
    json_agg(json_build_array(
        seq, attempts, failures, call_cap, unsure, coalesce(blamed_by = %(run_id)s, false),
        coalesce(greatest(extract(epoch FROM not_before - clock_timestamp()), 0), 0)::float
    )) FILTER (WHERE is_carried) AS carried
FROM (
    SELECT *, attempts > 0 OR failures > 0 OR not_before IS NOT NULL AS is_carried
    FROM retrofill.in_process
    WHERE job_id = %(job_id)s AND seq BETWEEN %(first_seq)s AND %(last_seq)s
    ORDER BY seq
) AS item
