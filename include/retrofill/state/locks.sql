-- name: keep_job
-- Whether a job may be used. Until the transaction ends, it cannot be deleted.
SELECT forgotten_at IS NULL FROM retrofill.job WHERE job_id = %(job_id)s FOR KEY SHARE

-- name: lock_job
-- Locks a job, and returns the number of its next item.
SELECT next_seq, current_setting('transaction_isolation') AS isolation, unordered
FROM retrofill.job WHERE job_id = %(job_id)s FOR NO KEY UPDATE

-- name: lock_job_wholly
-- Locks a job against every use, before it is forgotten.
SELECT job_id FROM retrofill.job WHERE job_id = %(job_id)s FOR UPDATE

-- name: lock_run
-- Locks a run, and returns its limits and whether one of them has stopped it or should.
SELECT
    limits, stop_reason, width, ramp,
    extract(epoch FROM clock_timestamp() - opened_at - waited)::float AS age_s,
    coalesce(
        clock_timestamp() >= opened_at + waited + make_interval(mins => (limits->>'max_minutes')::integer),
        false
    ) AS is_late
FROM retrofill.run WHERE run_id = %(run_id)s FOR NO KEY UPDATE

-- name: lock_set
-- Locks a set, and returns how many items it may still take and which may be listed again.
SELECT max_items - items_taken AS items, recent
FROM retrofill.run_set JOIN retrofill.partition USING (run_id)
WHERE run_id = %(run_id)s AND set_no = %(set_no)s AND part_no = %(part_no)s
FOR NO KEY UPDATE OF run_set

-- name: lock_batch
-- Locks a batch, and returns its range, its holder and the time left of its lease.
SELECT
    batch.job_id, batch.run_id, batch.first_seq, batch.last_seq, batch.items, batch.bytes, batch.holder,
    greatest(extract(epoch FROM batch.leased_until - clock_timestamp()), 0)::float AS leased_s,
    batch.done_at IS NOT NULL AS done
FROM retrofill.batch
WHERE batch_id = %(batch_id)s FOR NO KEY UPDATE

-- name: lock_batches
-- Locks the unfinished batches of a run, in the order of their numbers.
SELECT FROM retrofill.batch
WHERE run_id = %(run_id)s AND done_at IS NULL ORDER BY batch_id FOR NO KEY UPDATE

-- name: lock_owners
-- Locks a batch, and the unfinished batches that cover items which it settled.
SELECT FROM retrofill.batch
WHERE batch_id = %(batch_id)s OR job_id = %(job_id)s AND done_at IS NULL
    AND int8range(first_seq, last_seq, '[]') && (
        SELECT range_agg(int8range(ok.first_seq, ok.last_seq, '[]'))
        FROM unnest(%(firsts)s::bigint[], %(lasts)s::bigint[]) AS ok (first_seq, last_seq)
    )
ORDER BY batch_id FOR NO KEY UPDATE
