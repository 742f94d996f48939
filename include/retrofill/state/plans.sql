-- name: list_batches
-- The unfinished batches of a set, in the order of their calls, with the size of their contents.
SELECT first_seq, last_seq, items, bytes FROM retrofill.batch
WHERE run_id = %(run_id)s AND set_no = %(set_no)s AND done_at IS NULL
ORDER BY canary DESC, first_seq

-- name: count_canary
-- The items that the canary of a run will call.
SELECT coalesce(sum(items), 0) FROM retrofill.batch
WHERE run_id = %(run_id)s AND canary AND done_at IS NULL

-- name: store_plan
-- Stores the plan of an open run.
UPDATE retrofill.run SET plan = %(plan)s WHERE run_id = %(run_id)s AND status = 'open'

-- name: get_time
-- The current time of the database server.
SELECT clock_timestamp()

-- name: get_database_size
-- The size of the state's database in bytes.
SELECT pg_database_size(current_database())
