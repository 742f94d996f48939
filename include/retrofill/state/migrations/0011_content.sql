-- Items carry what their source says of them as one text, and partitions count what they leave out by
-- reason: the state knows the words of no source.

DROP VIEW retrofill.v_quarantine;
DROP VIEW retrofill.v_run;

-- One rewrite each, and no dead rows: the new text takes the place of a column that was one before.
ALTER TABLE retrofill.in_process
    ALTER COLUMN etag TYPE text USING concat_ws(
        chr(31), size,
        rtrim(rtrim(extract(epoch FROM modified_at)::text, '0'), '.'), etag, version_id
    );
ALTER TABLE retrofill.in_process RENAME COLUMN etag TO content;
ALTER TABLE retrofill.in_process
    ALTER COLUMN content SET DEFAULT '',
    DROP COLUMN size, DROP COLUMN modified_at, DROP COLUMN version_id;

ALTER TABLE retrofill.quarantine
    ALTER COLUMN etag TYPE text USING concat_ws(
        chr(31), size,
        rtrim(rtrim(extract(epoch FROM modified_at)::text, '0'), '.'), etag, version_id
    );
ALTER TABLE retrofill.quarantine RENAME COLUMN etag TO content;
ALTER TABLE retrofill.quarantine
    ALTER COLUMN content SET DEFAULT '',
    DROP COLUMN size, DROP COLUMN modified_at, DROP COLUMN version_id;

COMMENT ON COLUMN retrofill.in_process.content IS 'What only the item''s source and event shape understand.';
COMMENT ON COLUMN retrofill.quarantine.content IS 'What only the item''s source and event shape understand.';

ALTER TABLE retrofill.partition ADD COLUMN left_out jsonb NOT NULL DEFAULT '{}';
UPDATE retrofill.partition SET left_out = (
    SELECT coalesce(jsonb_object_agg(reason, items), '{}')
    FROM (
        VALUES ('archived', archived), ('filtered', filtered), ('rejected', rejected)
    ) AS counted (reason, items)
    WHERE items > 0
);
ALTER TABLE retrofill.partition
    DROP COLUMN archived, DROP COLUMN filtered, DROP COLUMN rejected;
COMMENT ON COLUMN retrofill.partition.left_out IS 'How much was seen and is not among the items, by reason.';

-- The cursor was a key itself: now it is a text of the source, which for keys is JSON.
UPDATE retrofill.partition SET cursor = to_json(cursor)::text WHERE cursor IS NOT NULL;
COMMENT ON COLUMN retrofill.partition.cursor IS 'The source''s own text: behind it is what has not been screened.';

CREATE VIEW retrofill.v_quarantine AS
SELECT
    job.name AS job, item_key, identifier, run_id, content, attempts, failures,
    request_id, error_type, error, quarantined_at, unsure,
    (
        SELECT count(*) FROM retrofill.redriven
        WHERE redriven.job_id = quarantine.job_id AND redriven.item_key = quarantine.item_key
            AND redriven.identifier = quarantine.identifier
    ) AS redrives
FROM retrofill.quarantine JOIN retrofill.job USING (job_id);
COMMENT ON VIEW retrofill.v_quarantine IS 'One row per item that waits for a person.';

CREATE VIEW retrofill.v_run AS
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
    coalesce(reasons.left_out, '{}') AS left_out,
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
        sum(listed)::bigint AS listed, sum(new)::bigint AS new, sum(known)::bigint AS known
    FROM retrofill.partition WHERE partition.run_id = run.run_id
) AS parts ON true
LEFT JOIN LATERAL (
    SELECT jsonb_object_agg(reason, items) AS left_out
    FROM (
        SELECT reason, sum(items::bigint) AS items
        FROM retrofill.partition
        CROSS JOIN LATERAL jsonb_each_text(partition.left_out) AS counted (reason, items)
        WHERE partition.run_id = run.run_id
        GROUP BY reason
    ) AS summed
) AS reasons ON true
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
COMMENT ON VIEW retrofill.v_run IS 'One row per run, with its true counts.';
