-- name: list_sizes
-- What the content of each item takes that is left of a batch: the numbers, and bytes of UTF-8.
SELECT
    coalesce(json_agg(seq ORDER BY seq), '[]') AS seqs,
    coalesce(json_agg(octet_length(content) ORDER BY seq), '[]') AS sizes
FROM retrofill.in_process
WHERE job_id = %(job_id)s AND seq BETWEEN %(first_seq)s AND %(last_seq)s

-- name: load_items
-- The items of a portion that are left, as one row of columns.
SELECT
    min(seq) AS first,
    CASE WHEN max(seq) - min(seq) + 1 > count(*) THEN json_agg(seq) END AS seqs,
    string_agg(uuid_send(identifier), '') AS identifiers,
    json_agg(item_key) AS keys,
    string_agg(content, chr(30)) AS contents,
    json_agg(seq) FILTER (WHERE is_carried) AS carried,
    json_agg(attempts) FILTER (WHERE is_carried) AS attempts,
    json_agg(failures) FILTER (WHERE is_carried) AS failures,
    json_agg(call_cap) FILTER (WHERE is_carried) AS call_caps,
    json_agg(unsure) FILTER (WHERE is_carried) AS unsures,
    json_agg(coalesce(blamed_by = %(run_id)s, false)) FILTER (WHERE is_carried) AS blamed,
    json_agg(
        coalesce(greatest(extract(epoch FROM not_before - clock_timestamp()), 0), 0)::float
    ) FILTER (WHERE is_carried) AS delays_s
FROM (
    SELECT *, attempts > 0 OR failures > 0 OR not_before IS NOT NULL AS is_carried
    FROM retrofill.in_process
    WHERE job_id = %(job_id)s AND seq BETWEEN %(first_seq)s AND %(last_seq)s
    ORDER BY seq
) AS item
