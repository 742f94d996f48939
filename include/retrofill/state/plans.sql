-- name: list_batches
-- The batches of a set that are not done, in the order of their calls, with what they take.
SELECT first_seq, last_seq, items, bytes FROM retrofill.batch
WHERE run_id = %(run_id)s AND set_no = %(set_no)s AND done_at IS NULL
ORDER BY canary DESC, first_seq

-- name: count_canary
-- The items of a run that are called before all others.
SELECT coalesce(sum(items), 0) FROM retrofill.batch
WHERE run_id = %(run_id)s AND canary AND done_at IS NULL

-- name: store_plan
-- Writes the plan of an open run down.
UPDATE retrofill.run SET plan = %(plan)s WHERE run_id = %(run_id)s AND status = 'open'

-- name: list_limits
-- The limits of a run as they are now.
SELECT limits FROM retrofill.run WHERE run_id = %(run_id)s

-- name: get_moment
-- The time of the state's clock, by which runs are opened.
SELECT clock_timestamp()

-- name: get_database_size
-- Bytes of the database that holds the state.
SELECT pg_database_size(current_database())
