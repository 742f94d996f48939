-- name: count_items
-- How many items of a batch remain.
SELECT count(*) FROM retrofill.in_process
WHERE job_id = %(job_id)s AND seq BETWEEN %(first_seq)s AND %(last_seq)s

-- name: is_overlapped
-- Whether another unfinished batch covers some of the same items.
SELECT EXISTS (
    SELECT FROM retrofill.batch
    WHERE job_id = %(job_id)s AND done_at IS NULL AND batch_id <> %(batch_id)s
        AND first_seq <= %(last_seq)s AND last_seq >= %(first_seq)s
)

-- name: reopen
-- Reopens a finished batch whose task was cleared.
UPDATE retrofill.batch SET done_at = NULL WHERE batch_id = %(batch_id)s

-- name: take_lease
-- Gives a batch to a new holder with a new epoch and lease.
UPDATE retrofill.batch SET
    epoch = epoch + 1, lost_tasks = lost_tasks + (holder IS NOT NULL)::integer,
    holder = %(holder)s, task_id = %(task_id)s, map_index = %(map_index)s, allotted = 0, wanted = 0,
    call_limit = calls, calls_settled = calls, cost_limit = cost, calls_per_second = 0, pulse_no = 0,
    counted_for = NULL, may_run_until = NULL,
    leased_until = clock_timestamp() + make_interval(secs => %(lease_s)s)
WHERE batch_id = %(batch_id)s
RETURNING epoch, next_call, settle_no, slowest, slowest_ms

-- name: fence
-- Renews the lease and counts new calls, if the caller still holds the batch.
UPDATE retrofill.batch SET
    settle_no = %(settle_no)s,
    leased_until = clock_timestamp() + make_interval(secs => %(lease_s)s),
    next_call = next_call + %(new_calls)s,
    calls = calls + %(new_calls)s,
    calls_settled = calls_settled + %(settled)s,
    retries = retries + %(retries)s,
    duplicates = duplicates + %(duplicates)s,
    blamed = blamed + %(blamed)s,
    cured = cured + %(cured)s,
    cost = cost + %(cost)s,
    cost_from_above = cost_from_above + %(from_above)s
WHERE batch_id = %(batch_id)s AND epoch = %(epoch)s AND done_at IS NULL
    AND settle_no = %(settle_no)s - 1
    -- After the lease has ended, other tasks may have got the share of this one.
    AND (%(new_calls)s = 0 OR leased_until > clock_timestamp())

-- name: list_left
-- Which of the given items are still in process.
SELECT seq FROM retrofill.in_process WHERE job_id = %(job_id)s AND seq = ANY(%(seqs)s)

-- name: get_settle_no
-- The number of the last settling of a batch, if it still has this epoch.
SELECT settle_no FROM retrofill.batch WHERE batch_id = %(batch_id)s AND epoch = %(epoch)s

-- name: release
-- Gives a batch back, as done or for another task.
UPDATE retrofill.batch SET
    leased_until = NULL, holder = NULL, wanted = 0, allotted = 0, call_limit = calls,
    cost_limit = cost, slowest = %(slowest)s, slowest_ms = %(slowest_ms)s,
    done_at = CASE WHEN %(done)s THEN clock_timestamp() END
WHERE batch_id = %(batch_id)s AND epoch = %(epoch)s AND done_at IS NULL
