-- name: list_worst
-- The errors by which most items of a run are in quarantine, each with one of them.
SELECT error_type, count(*) AS items, min(item_key) AS for_example
FROM retrofill.quarantine WHERE job_id = %(job_id)s AND run_id = %(run_id)s
GROUP BY error_type ORDER BY items DESC, error_type LIMIT %(most)s
