-- Items that a run lists while another run has them in process: how many, and whose they are.

CREATE TABLE retrofill.elsewhere (
    run_id bigint NOT NULL REFERENCES retrofill.run ON DELETE CASCADE,
    part_no integer NOT NULL,
    chunk_no integer NOT NULL,
    items int8multirange NOT NULL,
    PRIMARY KEY (run_id, part_no, chunk_no)
);
COMMENT ON TABLE retrofill.elsewhere IS 'The numbers of listed items that were in process with another run when their chunk was screened.';

CREATE TABLE retrofill.awaited (
    run_id bigint NOT NULL REFERENCES retrofill.run ON DELETE CASCADE,
    holder bigint NOT NULL,
    items bigint NOT NULL,
    PRIMARY KEY (run_id, holder)
);
COMMENT ON TABLE retrofill.awaited IS 'How many items that run_id has listed were in process with the run holder when run_id last looked: after planning, and when it was closed.';

-- Here, too: the counts of each batch are looked up, whatever the planner believes of the table.
CREATE OR REPLACE VIEW retrofill.v_run AS
SELECT
    run.run_id,
    job.name AS job,
    run.state,
    job.source,
    run.function_arn,
    run.function_version,
    coalesce(sets.sets, 0) AS sets,
    coalesce(parts.partitions, 0) AS partitions,
    coalesce(parts.partitions_left, 0) AS partitions_left,
    coalesce(parts.listed, 0) AS listed,
    coalesce(parts.known, 0) AS known,
    coalesce(parts.new, 0) AS new,
    coalesce(sets.resumed, 0) AS resumed,
    coalesce(parts.archived, 0) AS archived,
    coalesce(parts.filtered, 0) AS filtered,
    coalesce(parts.rejected, 0) AS rejected,
    coalesce(calls.succeeded, 0) AS succeeded,
    coalesce(calls.quarantined, 0) AS quarantined,
    coalesce(parts.new, 0) + coalesce(sets.resumed, 0) + coalesce(sets.redriven, 0)
        - coalesce(calls.succeeded, 0) - coalesce(calls.quarantined, 0) AS items_left,
    coalesce(calls.calls, 0) AS calls,
    coalesce(calls.retries, 0) AS retries,
    coalesce(calls.duplicates, 0) AS duplicates,
    run.opened_at,
    run.closed_at,
    run.notified_at,
    run.stop_reason,
    coalesce((run.config ->> 'redrive')::boolean, false) AS redrive,
    coalesce(sets.redriven, 0) AS redriven,
    troubles.failed,
    troubles.timed_out,
    troubles.out_of_memory,
    troubles.crashed,
    troubles.handled,
    troubles.unhandled,
    troubles.malformed_answer,
    troubles.throttled,
    troubles.starting,
    troubles.unknown,
    troubles.misconfigured,
    troubles.too_large,
    troubles.lost,
    coalesce(others.items, 0)::bigint AS with_others,
    coalesce(others.runs, '[]') AS others,
    run.source_seen
FROM retrofill.run
JOIN retrofill.job USING (job_id)
LEFT JOIN LATERAL (
    SELECT
        count(*) AS sets, sum(resumed)::bigint AS resumed, sum(run_set.redriven)::bigint AS redriven
    FROM retrofill.run_set WHERE run_set.run_id = run.run_id
) AS sets ON true
LEFT JOIN LATERAL (
    SELECT
        count(*) AS partitions,
        count(*) FILTER (WHERE NOT done) AS partitions_left,
        sum(listed)::bigint AS listed, sum(new)::bigint AS new, sum(known)::bigint AS known,
        sum(archived)::bigint AS archived, sum(filtered)::bigint AS filtered,
        sum(rejected)::bigint AS rejected
    FROM retrofill.partition WHERE partition.run_id = run.run_id
) AS parts ON true
LEFT JOIN LATERAL (
    SELECT
        sum(succeeded) AS succeeded, sum(quarantined) AS quarantined, sum(calls) AS calls,
        sum(retries) AS retries, sum(duplicates) AS duplicates
    FROM retrofill.batch WHERE batch.run_id = run.run_id
) AS calls ON true
LEFT JOIN LATERAL (
    SELECT
        coalesce(sum(count.calls) FILTER (WHERE outcome = 'failed'), 0)::bigint AS failed,
        coalesce(sum(count.calls) FILTER (WHERE cause = 'timed_out'), 0)::bigint AS timed_out,
        coalesce(sum(count.calls) FILTER (WHERE cause = 'out_of_memory'), 0)::bigint
            AS out_of_memory,
        coalesce(sum(count.calls) FILTER (WHERE cause = 'crashed'), 0)::bigint AS crashed,
        coalesce(sum(count.calls) FILTER (WHERE cause = 'handled'), 0)::bigint AS handled,
        coalesce(sum(count.calls) FILTER (WHERE cause = 'unhandled'), 0)::bigint AS unhandled,
        coalesce(sum(count.calls) FILTER (WHERE cause = 'malformed_answer'), 0)::bigint
            AS malformed_answer,
        coalesce(sum(count.calls) FILTER (WHERE outcome = 'throttled'), 0)::bigint AS throttled,
        coalesce(sum(count.calls) FILTER (WHERE outcome = 'starting'), 0)::bigint AS starting,
        coalesce(sum(count.calls) FILTER (WHERE outcome = 'unknown'), 0)::bigint AS unknown,
        coalesce(sum(count.calls) FILTER (WHERE outcome = 'misconfigured'), 0)::bigint
            AS misconfigured,
        coalesce(sum(count.calls) FILTER (WHERE outcome = 'too_large'), 0)::bigint AS too_large,
        coalesce(sum(count.calls) FILTER (WHERE outcome = 'lost'), 0)::bigint AS lost
    FROM retrofill.batch CROSS JOIN LATERAL (
        SELECT outcome, cause, calls FROM retrofill.call_count
        WHERE call_count.batch_id = batch.batch_id
        OFFSET 0
    ) AS count
    WHERE batch.run_id = run.run_id
) AS troubles ON true
LEFT JOIN LATERAL (
    SELECT
        sum(awaited.items) AS items,
        jsonb_agg(
            jsonb_build_object('run_id', holder, 'state', other.state, 'items', awaited.items)
            ORDER BY holder
        ) AS runs
    FROM retrofill.awaited LEFT JOIN retrofill.run AS other ON other.run_id = holder
    WHERE awaited.run_id = run.run_id
) AS others ON true;
